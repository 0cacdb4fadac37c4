/** Whether the module is built for @shoal/sdk/private: build.mjs sets it. */
declare const PRIVATE: boolean;
