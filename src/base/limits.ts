/**
 * Every bound in one place, with its unit and its reason. A queue, a body or a file that can grow
 * has its bound here and a test that reaches it.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Body of a request on most endpoints: what CCF allows (http-api.md §9). */
export const REQUEST_BODY_BYTES_MAX = 1 * MIB;
/**
 * Body on the transaction manager's endpoints: a 10 MiB payload in base64, with room for the
 * rest.
 */
export const PAYLOAD_BODY_BYTES_MAX = 16 * MIB;
/** Parties that one payload or one privacy group may name: each is looked up and compared. */
export const PAYLOAD_PARTIES_MAX = 1_000;
/** Contracts' transactions that one payload may name as affected: each is read from the ledger. */
export const AFFECTED_TRANSACTIONS_MAX = 1_000;
/**
 * Request ids that are known of each organisation (design decision 13): those of a hundred seconds
 * at a thousand writes a second, in some 4.4 MB of memory.
 */
export const REQUEST_IDS_KEPT = 100_000;
/** All bodies in flight on one node; beyond it a request waits unread (design decision 17). */
export const BODIES_IN_FLIGHT_BYTES_MAX = 256 * MIB;
/** Header block of a request, and the longest single header (http-api.md §9). */
export const REQUEST_HEADER_BYTES_MAX = 16 * KIB;
/** Headers of a request (http-api.md §9). */
export const REQUEST_HEADERS_COUNT_MAX = 256;

/** Sessions of an interface from which on each is told to go away (http-api.md §9). */
export const SESSIONS_SOFT_MAX = 1000;
/** Sessions of an interface from which on connections are dropped before TLS. */
export const SESSIONS_HARD_MAX = 1010;
/** An idle session is closed after this long; it outlives GoQuorum's own 10 s. */
export const SESSION_IDLE_MS_MAX = 60_000;
/** Requests of one session that may wait behind the one being answered; then it is closed. */
export const PIPELINED_REQUESTS_MAX = 256;
/** Tagged requests of one session that are executed beside each other; more wait for one to end. */
export const REQUESTS_ABREAST_MAX = 64;
/** What Node reads ahead of a body that waits behind another request: its stream and one read. */
export const BODY_READ_AHEAD_BYTES_MAX = 128 * KIB;
/** After an answer that ends a session, so long may its client take to read it and hang up. */
export const SESSION_LINGER_MS_MAX = 2_000;
/** A request's headers must be complete after this long, so that slow senders hold nothing. */
export const REQUEST_HEADERS_MS_MAX = 10_000;
/** A whole request must have arrived after this long: 16 MiB over a slow line. */
export const REQUEST_MS_MAX = 60_000;

/** Transactions that may wait for commit before new ones are refused (node-lifecycle.md §2). */
export const UNCOMMITTED_TRANSACTIONS_MAX = 10_000;
/** Bytes of one ledger entry: what PyPI `ccf` accepts at level HEADERS (ledger-format.md §15.4). */
export const ENTRY_BYTES_MAX = 1024 * MIB;
/** The fewest bytes that can follow an entry's eight header bytes (ledger-format.md §3). */
export const ENTRY_SIZE_MIN = 36;
/** A chunk's offsets are 32 bits wide (ledger-format.md §2). */
export const CHUNK_BYTES_MAX = 0xffff_ffff;
/** Bytes of the newest entries that are kept in memory to be read back. */
export const RECENT_ENTRIES_BYTES_MAX = 16 * MIB;
/** A chunk is closed at the first signature from which on it holds at least this many bytes. */
export const CHUNK_BYTES_DEFAULT = 5 * 1000 * 1000;

/** A file that is downloaded is read in pieces of this size. */
export const STREAM_PIECE_BYTES = 256 * KIB;
/** A download whose client takes nothing for so long is cut off. */
export const STREAM_STALL_MS_MAX = 60_000;
/** Digests of offered files that are kept: their files never change. */
export const DIGESTS_CACHED_MAX = 1_000;
/**
 * Snapshots under way: each lies in memory until its evidence is committed (ledger-format.md
 * §10).
 */
export const SNAPSHOTS_PENDING_MAX = 5;

/** Rows that one page of an ordered listing may hold. */
export const PAGE_ROWS_MAX = 1000;
/** Longest path of a Unix socket: `sun_path` less its final zero byte (unix(7)). */
export const SOCKET_PATH_BYTES_MAX = 107;
/** How long a request may wait for what it needs (a commit, a fresh read) before it is a 503. */
export const REQUEST_WAIT_MS_MAX = 4_000;
/** How long a backup waits for the primary's answer to what it forwarded (http-api.md §4). */
export const FORWARDING_MS_MAX = 3_000;
/**
 * How long it waits for an answer that governed scripts come before: a constitution's three calls
 * and all ballots take 29 s at the default limits, and scripts of others may be under way.
 */
export const SCRIPTS_MS_MAX = 60_000;
/** How often it is looked whether requests that are held can go on. */
export const HELD_REQUESTS_LOOK_MS = 25;
/** Callers' certificates that a primary keeps parsed: as many as an interface has sessions. */
export const FORWARDED_CERTIFICATES_MAX = 1_000;
/** How long a connector looks for a node that can be reached before it answers 503. */
export const CONNECTOR_REACH_MS_MAX = 4_000;
/** How long a connector waits for an answer: GoQuorum itself gives up after 5 s. */
export const CONNECTOR_ANSWER_MS_MAX = 4_500;

/** One frame between nodes: an entry with a payload of 16 MiB, with room for a batch around it. */
export const PEER_FRAME_BYTES_MAX = 64 * MIB;
/** Frames that may wait for one peer; a slow one is refused more, and costs no more memory. */
export const PEER_QUEUE_BYTES_MAX = 64 * MIB;
/** Entries of one append message: from here on it is cut in two. */
export const APPEND_BYTES_MAX = 1 * MIB;
/** Entries sent to a follower and not yet acknowledged: what fills a line for some time. */
export const APPEND_ENTRIES_IN_FLIGHT_MAX = 20_000;
/** Entries that consensus puts in one append message; the receiver refuses more. */
export const APPEND_ENTRIES_MAX = 5_000;
/** Bytes of an entry that goes to other nodes: a frame has room for it and for what is around. */
export const REPLICATED_ENTRY_BYTES_MAX = 63 * MIB;
/** Reads that may wait for the primary to be confirmed. */
export const FRESH_READS_MAX = 10_000;
/** Connections to a node's port that have not yet proved which node they are. */
export const PEER_HANDSHAKES_MAX = 64;
/** How long a connection between nodes may take until each side knows the other. */
export const PEER_HANDSHAKE_MS_MAX = 3_000;
/** How often each end of a connection between nodes shows that it hears the other. */
export const PEER_BEAT_MS = 500;
/** After so many beats without a byte the other end counts as gone: a half-open connection. */
export const PEER_SILENT_BEATS_MAX = 6;
/** Pause before a peer is dialled again, at first; it doubles with each failure. */
export const PEER_REDIAL_MS_MIN = 50;
/** Longest pause before a peer is dialled again: it must be back within an election or two. */
export const PEER_REDIAL_MS_MAX = 1_000;

/** A request to join: a certificate request, evidence and the endorsements that go with it. */
export const JOIN_BODY_BYTES_MAX = 256 * KIB;
/** Nodes that may wait to be trusted: anyone who has evidence can ask. */
export const PENDING_NODES_MAX = 100;
/** Interfaces that a node may name of itself: its row is read at each change of nodes. */
export const NODE_INTERFACES_MAX = 16;
/** An operator's signed action: ids, times and a signature. */
export const OPERATOR_ACTION_BYTES_MAX = 16 * KIB;
/** Operator's actions that are remembered so that none is carried out twice. */
export const OPERATOR_ACTIONS_KEPT = 100;
/** Redirects that a joiner follows in a row: each node knows the primary, or the next in line. */
export const JOIN_REDIRECTS_MAX = 5;
/** An answer to a joiner's question: secrets and addresses, or one piece of a file. */
export const JOIN_ANSWER_BYTES_MAX = 4 * MIB;
/** A joiner asks another node if one has not answered for so long. */
export const JOIN_ANSWER_MS_MAX = 10_000;
/** A file is fetched in pieces of this size: what is repeated after a break is little. */
export const FETCHED_PIECE_BYTES = 1 * MIB;
/** Rounds over all nodes in which every one gave a bad file; then fetching is given up. */
export const FETCH_ROUNDS_MAX = 3;
/** A snapshot is held in memory twice while it is taken in. */
export const FETCHED_SNAPSHOT_BYTES_MAX = 4 * 1024 * MIB;
