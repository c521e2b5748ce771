export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Start from initial state instead of the state after the run before. */
  readonly reset?: boolean;
}

export interface GenerateOptions {
  readonly maxNewTokens?: number;
  /** 0 (the default): greedy. */
  readonly temperature?: number;
  readonly topK?: number;
  /** The same seed gives the same tokens. */
  readonly seed?: number;
  /** Ids that end the generation; they are emitted. */
  readonly stopIds?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface ResumeGenerationOptions {
  /** The first index that is yielded; 0 yields the whole generation. */
  readonly fromIndex?: number;
  readonly signal?: AbortSignal;
}

export interface Token {
  readonly index: number;
  readonly id: number;
  /**
   * What this token adds to the text; empty until a character is complete, and a generation that ends within one ends with
   * U+FFFD. All of them joined are the decoding of the ids.
   */
  readonly text: string;
}
