// Every bound in one place, with the unit in its name. Each one is reached by a test or a fault, never by luck.

/** A session checkpoints after every reset run and after so many runs, sooner where their replay would take long. */
export const CHECKPOINT_EVERY_RUNS = 16;
/** Milliseconds of runs after which it checkpoints at the latest. */
export const CHECKPOINT_REPLAY_MS = 2_000;
/** Between two checkpoints of a session, milliseconds, unless it is told otherwise (the seed's default). */
export const CHECKPOINT_INTERVAL_MS = 60_000;
/** Runs that may be un-durable at once. Reaching it holds new runs back until a durable point passes. */
export const REPLAY_RUNS_MAX = 48;
/** The same in milliseconds of replay, once two checkpoints were due. */
export const REPLAY_MS_MAX = 6_000;
/** Where no run would bring a checkpoint any more it is asked for after these pauses. When all of them fail, the session does. */
export const CHECKPOINT_RETRY_MS = [250, 1_000, 3_000] as const;
/** Pauses before what is stored for an ended session is deleted again, where the disk refused it; then the last one each time. */
export const FORGET_AGAIN_MS = [1_000, 10_000, 60_000] as const;
/** Runs whose feeds are kept: the newest durable point may turn out to be damaged, so those after the one before it. */
export const RESEND_RUNS_MAX = 2 * REPLAY_RUNS_MAX;
/** What reading stored state and putting it back is thought to take before it was ever measured. */
export const RESTORE_EXPECTED_MS = 30;
/** A stage with more checkpoints than this on their way to storage waits for it. */
export const CHECKPOINTS_UNSTORED_MAX = 2;
/** A level with standbys checkpoints so often that what its standby has to do again takes no longer. */
export const STANDBY_REPLAY_MS = 200;
/** A standby practises with a run of up to so many bytes of input, so often, and begins no further time after so long. */
export const SAMPLE_BYTES_MAX = 256 * 1024;
export const PRACTICE_RUNS = 6;
export const PRACTICE_MS = 500;
/** Handles of one session that keep something. */
export const RESIDENT_HANDLES_MAX = 1_024;
/** Bytes that the handles of one session keep, in one host or in all of them together, before a run may keep no more. */
export const RESIDENT_BYTES_MAX = 2 * 1024 ** 3;
/** What was disposed of is freed so long afterwards, where no run says so before. */
export const DROP_LATE_MS = 20;
/** Runs a page may have unanswered in one session. */
export const RUNS_UNANSWERED_MAX = 32;
/** Token ids go to the journal in groups of so many, or after so long. */
export const TOKENS_JOURNAL_TOGETHER = 16;
export const TOKENS_JOURNAL_MS = 1_000;
/** A durable point that no token ids tell of is told to the journal within this time. */
export const DURABLE_REPORT_MS = 2_000;
/** A session without a run for so long gives its hosts back until the next one. */
export const SESSION_IDLE_MS = 60_000;
/** Before it lets itself be replaced by a new version, the extension waits so long for durable points. */
export const UPDATE_SETTLE_MS = 5_000;
/** Bytes of feeds that the client library keeps for replay before it holds new runs back. */
export const RESEND_BYTES_MAX = 256 * 1024 * 1024;

/** The keeper's tick: canary reading and heartbeats hang on it. */
export const KEEPER_TICK_MS = 25;
/** A heartbeat goes out every this many ticks. */
export const HEARTBEAT_EVERY_TICKS = 8;
/** The least time without any sign of life before a host counts as hung. */
export const HANG_FLOOR_MS = 3_000;
/** A run deadline is this many times the 99th percentile of that shape's run time. */
export const RUN_DEADLINE_FACTOR = 4;
/** Deadline of a shape that was never run here: shader and kernel compilation happens in it. */
export const FIRST_RUN_DEADLINE_MS = 60_000;
/** Run times kept for each shape. */
export const RUN_TIMES_KEPT = 64;

/** A host tells its computation times so long after a window's first run: short at first, then rarely. The last repeats. */
export const STAGE_TIMES_WINDOWS_MS = [1_000, 2_000, 5_000, 10_000, 30_000] as const;
/** A window ends early when no run came for so long, and its host has not told anything for the first window's time. */
export const STAGE_TIMES_IDLE_MS = 250;
/** Times of one window that its median is taken of: the newest. */
export const STAGE_TIMES_KEPT = 256;
/** How long a host measures its provider's speed, and from when on it is too busy for that to mean anything. */
export const SPEED_PROBE_MS = 15;
export const SPEED_PROBE_GIVE_UP_MS = 60;
/** A speed measured so long ago is measured again. */
export const SPEED_KEPT_MS = 24 * 3_600_000;
/** History is written this long after the first change, with all that came meanwhile. */
export const HISTORY_WRITE_MS = 1_000;

/** From the insertion of a frame to its first word. */
export const FRAME_UP_DEADLINE_MS = 10_000;
/** From the opening of a host to its runtime being loaded. */
export const HOST_BOOT_DEADLINE_MS = 30_000;
/** From the assignment of a shard to "ready", counted anew with each sign of progress. */
export const SHARD_LOAD_DEADLINE_MS = 60_000;
/** How long a frame asks for a GPU adapter after one was lost: the GPU process needs about 350 ms to come back. */
export const GPU_RETURN_MS = 3_000;
/** Losses of the GPU that a session takes before wasm takes over. */
export const GPU_LOSSES_MAX = 1;

/** Climbs of the ladder for one fault before the session's runs fail. */
export const RECOVERY_ATTEMPTS_MAX = 3;
/** The n-th attempt waits this much; the last value repeats. */
export const RECOVERY_BACKOFF_MS = [0, 100, 500, 2_000] as const;

/** Failures in a row after which a stage's provider and place are given no more work, and for how long. */
export const BREAKER_FAILURES = 5;
export const BREAKER_OPEN_MS = 30_000;
/** Successes on trial after which all is as before. */
export const BREAKER_SUCCESSES = 3;
/** Circuit breakers that are remembered; the oldest go first. */
export const BREAKERS_MAX = 1_000;

/** Closing two host tabs of a session within this time pauses it. */
export const USER_CLOSE_WINDOW_MS = 60_000;
/** A page that is gone for this long has its sessions parked. */
export const PAGE_GRACE_MS = 30_000;
/** How often the pool looks whether owners live that it has heard nothing of. Longer than the 30 s after which an idle service worker may stop. */
export const OWNER_CHECK_MS = 120_000;
/** A look at a page's grace that comes later than this was not scheduled: the machine slept, and the grace begins anew. */
export const OWNER_LOOK_LATE_MS = 15_000;
/** A parked session's state is kept this long. */
export const PARKED_KEPT_MS = 24 * 3_600_000;
/** Parked and paused sessions that one origin may have, and the bytes stored for them; the oldest go first. */
export const PARKED_PER_ORIGIN_MAX = 8;
export const PARKED_BYTES_PER_ORIGIN_MAX = 512 * 1024 * 1024;
/** A dismissed or refused consent counts as "no" for this long. */
export const CONSENT_NO_MS = 3_600_000;

/** The same refusal of the same site is logged so many times in this time. */
export const REFUSAL_REPEATS_MAX = 10;
export const REFUSAL_REPEAT_MS = 10_000;
/** A session that opens and shows no progress for this long is given up: its page sends no bytes any more. */
export const OPEN_STALL_MS = 120_000;

/** A timer that fires so much too late says that nothing ran meanwhile: what it was to find is given its time again. */
export const TIMER_LATE_MS = 5_000;
/** Hosts that carry stages at once, all sessions together. */
export const HOSTS_MAX = 16;
/** Spares, standbys and replicas at once, beside the hosts that carry stages. */
export const EXTRA_HOSTS_MAX = 8;
/** A spare starts once nothing was opened or recovered for so long: its start takes a core for a second. */
export const SPARE_DELAY_MS = 1_000;
/** After a recovery was verified, a standby begins to load so much later: whoever waited for it goes first. */
export const STANDBY_DELAY_MS = 3_000;
/** Spares are closed after so long without work in any session. */
export const SPARE_IDLE_MS = 600_000;
/** None is opened for so long after one failed, or the user closed it. */
export const SPARE_AGAIN_MS = 60_000;
/** Hosts that run each stage of a session at level critical, unless told otherwise, and the most of them. */
export const REPLICAS = 3;
export const REPLICAS_MAX = 7;
/** Runs of one stage of which a replica may still owe its vote; of older ones it is not asked any more. */
export const BALLOTS_OPEN_MAX = 96;
/** A spot check takes so long, its state's way through storage included, or is left out. */
export const SPOT_CHECK_MS = 5_000;
/** Replicas of different providers agree when no value is further off than this share of the largest magnitude of its tensor. */
export const VOTE_TOLERANCE = 1e-3;
/** Hosts of one origin's sessions: whatever one site does, others find some. */
export const HOSTS_PER_ORIGIN_MAX = 12;
/** Sessions of one origin that are not parked. */
export const SESSIONS_PER_ORIGIN_MAX = 8;
/** Transactions after which old ones are dropped from the journal: a whole stretch of so many always stays. */
export const JOURNAL_COMPACT_AT = 10_000;
/** Bytes of transactions before the same, and before a snapshot; more where the snapshot itself is larger. */
export const JOURNAL_COMPACT_BYTES = 16 * 1024 * 1024;
/** Transactions that a start applies again, about: so many after a snapshot the next one is written, … */
export const JOURNAL_SNAPSHOT_AT = 256;
/** … and for so many bytes of the snapshot one transaction more, so that a large state is not written all the time. */
export const JOURNAL_SNAPSHOT_BYTES_EACH = 8 * 1024;
/** Records that a check of the whole journal reads at once, between which others get their turn. */
export const JOURNAL_AUDIT_RECORDS = 256;
/** One start of so many checks the whole journal, the others what the next start may need. */
export const JOURNAL_AUDIT_EVERY = 16;
/** Snapshots kept: should the newest be damaged, the one before it and the transactions since give the same state. */
export const JOURNAL_SNAPSHOTS_KEPT = 2;
/** Checkpoints of a browser's state that it keeps. */
export const BROWSER_CHECKPOINTS_KEPT = 5;
/** A browser that was heard from within this time is healthy. */
export const BROWSER_HEALTHY_MS = 30_000;
/** Between two checkpoints of a browser's state while it works. */
export const BROWSER_CHECKPOINT_MS = 60_000;
/** How often a host without work does a probe run, unless told otherwise. */
export const HEALTH_CHECK_MS = 30_000;
/** Between two reports of a host's memory. */
export const RESOURCE_REPORT_MS = 5_000;
/** Operations of its own hosts that a site is told, the newest. */
export const ORIGIN_OPERATIONS_MAX = 200;
/** What a page says of a host that failed it, characters. */
export const FAILURE_CHARS_MAX = 300;
/** How often a page looks whether a host that it reported is back, and for how long. */
export const RECOVERY_LOOK_MS = 50;
export const RECOVERY_WAIT_MS = 120_000;
/** A model of an adaptive pool that was not run for so long gives its hosts back. */
export const MODEL_IDLE_MS = 60_000;
/** Runs that wait for each copy of a model before an adaptive pool opens one more. */
export const SCALING_QUEUE = 2;
/** The share of the device's memory that a site's hosts may hold before an adaptive pool opens no further copy. */
export const SCALING_MEMORY_SHARE = 0.5;
/** How often an adaptive pool looks what is idle. */
export const SCALING_LOOK_MS = 30_000;
/** A further copy of a model that had nothing to do for so long gives its hosts back. */
export const COPY_IDLE_MS = 30_000;
/** Hosts that the seed's pool uses unless told otherwise. */
export const MAX_CONNECTIONS = 4;
/** Faults and refusals that the status keeps for people to read. */
export const STATUS_ROWS_MAX = 50;

/** A download that brings no byte for this long has stalled. */
export const DOWNLOAD_STALL_MS = 20_000;
/** The n-th attempt in a row that brings nothing new waits this much; after the last one the download is given up. */
export const DOWNLOAD_BACKOFF_MS = [100, 500, 2_000, 5_000] as const;
/** Connections of one download that may break off, whether they brought something or not. */
export const DOWNLOAD_DROPS_MAX = 100;
/** Connections of one download that may stall. */
export const DOWNLOAD_STALLS_MAX = 2;
/** What a download has is made to survive after so many bytes more. */
export const PARTIAL_KEEP_BYTES = 4 * 1024 * 1024;
/** A download that nobody went on with for this long is thrown away. */
export const PARTIAL_KEPT_MS = 24 * 3_600_000;
/** What the model store may hold unless the user says otherwise, and the least that may be said. */
export const STORE_QUOTA_BYTES = 20 * 1024 ** 3;
export const STORE_QUOTA_BYTES_MIN = 1024 ** 2;
/** The part of it that one site may fill with bytes it sends itself. */
export const STORE_PUSHED_SHARE_MAX = 0.5;
/** Room made at once for a file of unknown size. */
export const STORE_ROOM_STEP_BYTES = 64 * 1024 * 1024;
/** How long a keeper waits for the pool to make room, and how often it asks. */
export const STORE_ROOM_WAIT_MS = 10_000;
export const STORE_ROOM_ASKS_MAX = 3;
/** Files of one model. Converters may write one a tensor. */
export const MODEL_FILES_MAX = 4_096;
/** Of these, files that come at the same time. */
export const MODEL_FILES_AT_ONCE_MAX = 4;
/** A download tells of itself no more often than this. */
export const PROGRESS_EVERY_MS = 100;

/** A weight goes from the store to its host in pieces of so many bytes, so many of them on their way at once. */
export const WEIGHT_PIECE_BYTES = 4 * 1024 * 1024;
export const WEIGHTS_IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024;
/** While onnxruntime takes weights, which blocks the frame, it says so no more often than this. */
export const TAKEN_EVERY_MS = 5_000;
/** Weights up to this size are given to onnxruntime as often as it asks, larger ones once: its optimisers look at small ones again. */
export const WEIGHT_KEPT_BYTES_MAX = 64 * 1024;

/** Bytes of one message of a model's stream, and messages that may be unacknowledged. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
export const CHUNKS_IN_FLIGHT_MAX = 4;

/** The browser may still list a page or frame whose process has just died: it is looked at this often, so many times. */
export const GONE_LOOK_MS = 250;
export const GONE_LOOKS = 4;
/** A call that the end of the service worker cut short is made again after these pauses, then fails. */
export const POOL_CALL_PAUSES_MS = [50, 50, 100, 200, 400, 800, 1_600, 3_200] as const;
/** A call that was under way for so long (more than a start may take) met a service worker that works: counted anew. */
export const POOL_CALL_LONG_MS = 20_000;
/** From the start of the service worker to its journal being read. */
export const JOURNAL_OPEN_DEADLINE_MS = 10_000;
/** Acknowledgements, and the safe run, are told at once after so many runs, else after this long. */
export const TOLD_TOGETHER_RUNS = 8;
export const TOLD_LATE_MS = 10;
/** A host that works off waiting runs looks at its messages at least this often, heartbeats and new ports among them. */
export const YIELD_EVERY_MS = 50;

/** A session that is to stand still for a planned move: the runs that were begun end within this time, or it stays where it is. */
export const MOVE_STILL_MS = 30_000;
/** How often it is looked whether they have, where nothing else says so. */
export const MOVE_LOOK_MS = 20;
/** A session that stands still and hears nothing of other hosts goes on with those that it has. */
export const MOVE_SWITCH_MS = 20_000;
/** Ports that have not arrived by then were lost with a service worker, or their host's page hears nothing. */
export const PORTS_ARRIVAL_MS = 1_500;
/** Wirings that fail in a row, after which the driver says which stages took no ports. */
export const WIRINGS_FAILED_MAX = 3;
/** A stage that is asked how far it is waits for its run to end; one that is put back reads its state. */
export const STAGE_ANSWER_MS = 60_000;

/** From inserting the bridge frame to its answer. */
export const CONNECT_TIMEOUT_MS = 5_000;
/** The client's reading of the bridge's canary, with work in flight and without. */
export const BRIDGE_CANARY_MS = 20;
export const BRIDGE_CANARY_IDLE_MS = 1_000;
/** How often a bridge looks whether the extension that it belongs to is still the one that runs. */
export const BRIDGE_ORPHAN_CHECK_MS = 1_000;
/** Bridge frames that may die in a row, without an answer in between, before the page is told. */
export const BRIDGE_DEATHS_MAX = 5;

/** Models that a page may give names. */
export const MODELS_REGISTERED_MAX = 1_000;
/** Tokens of one generation. */
export const NEW_TOKENS_MAX = 100_000;
/** Token ids of a prompt. The journal keeps them. */
export const PROMPT_TOKENS_MAX = 262_144;
/** Models that a page may be sending at once. */
export const INGESTS_PER_PAGE_MAX = 16;
/** Prompt characters. */
export const PROMPT_CHARS_MAX = 4_000_000;
