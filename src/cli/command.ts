/**
 * What a command is, and what it is given to speak with.
 */

export interface CommandIo {
  /** Writes a line to standard output. */
  out(text: string): void;
  /** Writes a line to standard error. */
  err(text: string): void;
  /** Shows progress in place of the line before, on a terminal; elsewhere now and then. */
  progress(text: string): void;
  /** Whether standard output is a terminal. */
  readonly isTty: boolean;
  /** Aborted when the program is asked to stop. */
  readonly signal: AbortSignal;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints. */
  readonly usage: string;
  /** The same for these words after the command's name, where they have a usage of their own. */
  usageOf?(args: readonly string[]): string;
  /** Returns the exit code (`exit-codes.ts`). A coded error thrown is printed and mapped there. */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}
