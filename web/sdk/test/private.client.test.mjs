// The tests of the client with @shoal/sdk/private, which takes the place of @shoal/sdk.
process.env.SHOAL_ENTRY = "private";
await import("./client.test.mjs");
