/** Page → keeper: the files of a model, in pieces. `path` is "" for the model file, else the external data's path. */
export interface IngestCalls {
  begin: { params: { path: string; size: number | null }; result: null };
  chunk: { params: { path: string; bytes: Uint8Array }; result: null };
  end: { params: { path: string }; result: null };
  /** All files are there: cut the model. Resolves when the plan is made, rejects with what is wrong with the model. */
  finish: { params: null; result: null };
  /** The page could not get the bytes, or does not want the session any more. */
  cancel: { params: null; result: null };
}
