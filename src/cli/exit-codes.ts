/**
 * What a command's exit code says, the same for all of them.
 */

export const EXIT = {
  /** It did what was asked, and what was judged is good. */
  good: 0,
  /** It ran, and what was judged is bad or what was tried failed. */
  bad: 1,
  /** It was not understood: unknown options, missing arguments. */
  usage: 2,
  /** It could not be done or judged: a file cannot be read, a port is taken, a folder is in use. */
  unable: 3,
} as const;
