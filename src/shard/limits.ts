/** Payloads of tensors longer than this stay in their file and are mounted as external data; shorter ones stay inline. */
export const INLINE_BYTES_MAX = 1024;
/** Nested protobuf messages in one model file. */
export const NESTING_MAX = 64;
/** Nodes that a model's own functions may make. */
export const FUNCTION_NODES_MAX = 50_000;
/** A model without its weights; real ones are below 10 MB. */
export const SKELETON_BYTES_MAX = 256 * 1024 * 1024;
/** How much of the file the walker reads at a time. */
export const WINDOW_BYTES = 64 * 1024;
/** Constants that a node may read and still be rebuilt in each shard, in bytes and as a share of all weights. */
export const REBUILD_BYTES_MAX = 1024 * 1024;
export const REBUILD_SHARE_MAX = 0.05;
/** The work of a node beside its weights: all nodes together cost this share of all weights. */
export const NODE_COST_SHARE = 0.25;
/** What a tensor of a few elements (a shape, token ids, a mask) adds to the width of a cut; any other adds 1. */
export const TINY_WIDTH = 0.01;
/** How far from even (in shares of one shard) a cut may move to cross one tensor less. */
export const IMBALANCE_PER_TENSOR = 0.15;
