import { quickSubtleDigest } from "./world/digest.ts";

// Errors are made by the thousand here, and nobody reads where, unless SIM_STACKS is set.
Error.stackTraceLimit = process.env.SIM_STACKS === undefined ? 0 : 30;

/** The platform's digest would answer from another thread; nothing else of the platform is used. */
Object.defineProperty(crypto.subtle, "digest", { value: quickSubtleDigest });
