/**
 * Bounds on what sources of evidence may take, each with its unit and its reason.
 */

/** Requests for a report that others got in the way of, until it is given up. */
export const TSM_TRIES_MAX = 20;
/** Pause after another process used the report's interface at the same moment. */
export const TSM_PAUSE_MS = 25;
/** Firmware answers within milliseconds, a TPM within seconds. */
export const PROGRAM_MS_MAX = 30_000;
/** What a program may print: the largest is an HCL report of 2600 bytes, in hexadecimal. */
export const PROGRAM_OUTPUT_BYTES_MAX = 1024 * 1024;
/** The paravisor needs about 3 s to make a new report after user data was written. */
export const HCL_REFRESH_MS = 3_000;
/** Readings of the HCL report until it shows the user data. */
export const HCL_READS_MAX = 5;
/** A certificate service that has not answered for so long is passed over. */
export const ENDORSEMENT_MS_MAX = 10_000;
/** A chain of three certificates has about 6500 bytes. */
export const ENDORSEMENT_BYTES_MAX = 64 * 1024;
/** Questions to a service that answers 429 Too Many Requests, until it is passed over. */
export const THROTTLED_TRIES_MAX = 5;
/** First pause after a 429 that does not say how long; it doubles. */
export const THROTTLED_MS_MIN = 1_000;
/** Longest pause after a 429, whatever it says: a start must not hang for hours. */
export const THROTTLED_MS_MAX = 30_000;
