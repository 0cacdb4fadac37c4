/** The address from which an answer came, as the browser reports it. Tests on loopback replace this file. */
export const connected = (ip) => ip;
