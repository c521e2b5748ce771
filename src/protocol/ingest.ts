/**
 * Page → keeper: the files of a model, each over a URL or in pieces. `path` is "" for the model file, else the external
 * data's path. `digest`: the SHA-256 that the caller expects (64 hex digits), or null.
 */
export interface IngestCalls {
  /**
   * The keeper reads the URL itself, as anybody may, or has it already. `stored: false`: it may not; then the page is to
   * send the bytes.
   */
  fetch: {
    params: { path: string; url: string; digest: string | null };
    result: { stored: boolean; why: string | null };
  };
  begin: { params: { path: string; size: number | null; digest: string | null }; result: null };
  chunk: { params: { path: string; bytes: Uint8Array }; result: null };
  /** Forgets what came of a file that was begun: it is sent anew. */
  restart: { params: { path: string; size: number | null }; result: null };
  end: { params: { path: string }; result: null };
  /** The paths of external data that the graph names and that have not come. */
  missing: { params: null; result: readonly string[] };
  /** All files are there: cut the model. Resolves when the plan is made, rejects with what is wrong with the model. */
  finish: { params: null; result: null };
  /** The page could not get the bytes, or does not want the session any more. */
  cancel: { params: null; result: null };
}
