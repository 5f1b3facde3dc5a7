/** What is wrong with how a command was called. */
import { CodedError } from '../../base/errors.ts';

export function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}
