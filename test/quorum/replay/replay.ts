/**
 * The replay: every recorded exchange, in order, against one transaction manager. What cannot be
 * judged (nobody had answered, or the request names a payload that no shared exchange made) is
 * listed and not counted.
 */
import { type Answer, difference } from './compare.ts';
import { DEVIATIONS } from './deviations.ts';
import { hashesIn, Names } from './names.ts';
import type { Recorded, RecordedRequest } from './recordings.ts';

/** Sends one request to an organisation's surface; undefined when this target cannot take it. */
export type Exchange = (
  recorded: Recorded,
  request: RecordedRequest,
) => Promise<Answer | undefined>;

export type Outcome =
  | { readonly kind: 'same' }
  | { readonly kind: 'deviation'; readonly reason: string }
  | { readonly kind: 'not-counted'; readonly reason: string }
  | { readonly kind: 'wrong'; readonly what: string };

export interface Judged {
  readonly recorded: Recorded;
  readonly outcome: Outcome;
}

export class Replay {
  readonly #names = new Names();
  readonly #exchange: Exchange;
  readonly judged: Judged[] = [];

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async play(scenario: readonly Recorded[]): Promise<void> {
    for (const recorded of scenario) {
      this.judged.push({ recorded, outcome: await this.#judge(recorded) });
    }
  }

  async #judge(recorded: Recorded): Promise<Outcome> {
    const { request, response } = recorded;
    if (response === undefined) return notCounted('nobody answered when it was recorded');
    if (response.status < 400) {
      const unknown = hashesIn(request.path, namingPart(request)).find(
        (hash) => !this.#names.knows(hash),
      );
      if (unknown !== undefined) {
        return notCounted(`names ${unknown.slice(0, 12)}…, which no shared exchange made`);
      }
    }
    const answer = await this.#exchange(recorded, this.#translated(request));
    if (answer === undefined) return notCounted('cannot be put to this target');
    const text = response.body.toString('utf8');
    const deviation = DEVIATIONS.find((one) => one.isFor(recorded, response.status, text));
    if (deviation !== undefined) {
      if (deviation.expects(answer, recorded, text)) {
        return { kind: 'deviation', reason: deviation.reason };
      }
      const got = `${answer.status} ${answer.body.toString('utf8').slice(0, 200)}`;
      return { kind: 'wrong', what: `not what we decided (${deviation.reason}): ${got}` };
    }
    const what = difference(response, answer, this.#names, request.path);
    return what === undefined ? { kind: 'same' } : { kind: 'wrong', what };
  }

  #translated(request: RecordedRequest): RecordedRequest {
    const body = request.body.toString('utf8');
    const isText = Buffer.from(body, 'utf8').equals(request.body);
    const translated = isText ? Buffer.from(this.#names.inText(body), 'utf8') : request.body;
    return {
      method: request.method,
      path: this.#names.inPath(request.path),
      headers: request.headers.map(([name, value]) => [name, this.#names.inText(value)]),
      body: this.#namedBytes(request) ?? translated,
    };
  }

  /** A body of 64 bytes that is a hash itself (`/sendsignedtx` as octets), replaced by ours. */
  #namedBytes({ body }: RecordedRequest): Buffer | undefined {
    const name = body.toString('base64');
    return body.length === 64 && this.#names.knows(name)
      ? Buffer.from(this.#names.ours(name), 'base64')
      : undefined;
  }
}

/** The parts of a body that name hashes: not the payload, which may hold anything. */
function namingPart({ body }: RecordedRequest): string {
  return body.toString('utf8').replace(/"payload":"[^"]*"/, '');
}

function notCounted(reason: string): Outcome {
  return { kind: 'not-counted', reason };
}

/** The table a replay prints: how many of which outcome, and each reason with its number. */
export function summary(judged: readonly Judged[]): string {
  const count = (kind: Outcome['kind']): number =>
    judged.filter(({ outcome }) => outcome.kind === kind).length;
  const counted = judged.length - count('not-counted');
  const lines = [
    `${judged.length} exchanges, ${counted} counted: ${count('same')} the same, ` +
      `${count('deviation')} otherwise by decision, ${count('wrong')} wrong`,
  ];
  for (const kind of ['deviation', 'not-counted'] as const) {
    const reasons = new Map<string, number>();
    for (const { outcome } of judged) {
      if (outcome.kind !== kind || !('reason' in outcome)) continue;
      reasons.set(outcome.reason, (reasons.get(outcome.reason) ?? 0) + 1);
    }
    if (reasons.size > 0) lines.push(kind === 'deviation' ? 'otherwise:' : 'not counted:');
    for (const [reason, times] of reasons)
      lines.push(`${String(times).padStart(5)}  ${reason}`);
  }
  return lines.join('\n');
}

/** The exchanges that went wrong, for the failure message of a test. */
export function wrongOnes(judged: readonly Judged[]): readonly string[] {
  return judged.flatMap(({ recorded, outcome }) => {
    if (outcome.kind !== 'wrong') return [];
    const { scenario, index, title, request } = recorded;
    const what = `${request.method} ${request.path.slice(0, 60)}`;
    return [`${scenario} #${index} ${title} (${what}): ${outcome.what}`];
  });
}
