/**
 * Which requests may have an effect in the service. They go under a request id, so that they can be
 * sent again (design decision 13); all others only read, and may be sent as often as one likes.
 */
import type { Purpose } from '../client/attempt.ts';
import type { WireRequest } from '../client/session.ts';

/** Posts that only read. What is not named here is taken for a write, whatever it is. */
const READING =
  /\/(?:receive|encodedpayload\/(?:create|decrypt)|findPrivacyGroup|retrievePrivacyGroup)$/;

export function purposeOf({ method, target }: WireRequest): Purpose {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return 'read';
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  return method === 'POST' && READING.test(path) ? 'read' : 'write';
}
