/**
 * Headers of ours that both ends of a connection must know by the same name: the service that reads
 * or writes them, and the connector (design decisions 9, 10 and 13).
 */

/** A transaction that the state must hold before the answer is made. */
export const MIN_TXID_HEADER = 'x-concordat-min-txid';
/** `linearizable`: the answer rests on a state that a confirmed leader vouches for. */
export const READ_HEADER = 'x-concordat-read';
/** `<S>.<32 lowercase hex digits>`: what is asked again under it is done once. */
export const REQUEST_ID_HEADER = 'x-concordat-request-id';
/** The code of an error (http-api.md §8) beside a body that is a plain sentence. */
export const ERROR_CODE_HEADER = 'x-concordat-error';
/**
 * A client's number for a request, given back with the answer. Requests that have one are executed
 * beside each other, and answered as each is done: the client tells the answers apart by it.
 */
export const TAG_HEADER = 'x-concordat-tag';
