// Plays recorded exchanges to a service, in order, and says what differs.

import type { TestIdentity } from '../http/certificates.ts';
import { RawClient, type Reply } from '../http/client.ts';
import { differences, inOurTerms } from './compare.ts';
import { DEVIATIONS, type Deviation, whyNotCounted } from './expectations.ts';
import type { ClientName, Recording } from './recordings.ts';

/** The service that is measured. */
export interface ReplayTarget {
  readonly host: string;
  readonly port: number;
  readonly identities: Readonly<Partial<Record<ClientName, TestIdentity>>>;
  /** A transaction that is a signature, or undefined if this service has none. */
  signatureTxId(): Promise<string | undefined>;
}

export interface Outcome {
  readonly name: string;
  readonly result: 'agrees' | 'deviates' | 'differs' | 'not counted';
  /** Why it deviates or is not counted; what differs. */
  readonly notes: readonly string[];
}

/** The TxID of a signature in the recording. */
const RECORDED_SIGNATURE = '2.63';
/** TxIDs that no service ever reaches. */
const FAR_AWAY = /^2\.9{7,}$/;

export async function replay(
  all: readonly Recording[],
  target: ReplayTarget,
): Promise<readonly Outcome[]> {
  const player = new Player(target);
  const outcomes: Outcome[] = [];
  for (const recording of all) outcomes.push(await player.play(recording));
  player.close();
  return outcomes;
}

class Player {
  readonly #target: ReplayTarget;
  readonly #clients = new Map<ClientName, RawClient>();
  /** Recorded TxID → ours. */
  readonly #txIds = new Map<string, string>();

  constructor(target: ReplayTarget) {
    this.#target = target;
  }

  async play(recording: Recording): Promise<Outcome> {
    const { name } = recording;
    const why = whyNotCounted(recording);
    if (why !== undefined) return { name, result: 'not counted', notes: [why] };
    const asked = this.#askedTxId(recording);
    if (asked === RECORDED_SIGNATURE) {
      const signature = await this.#target.signatureTxId();
      if (signature === undefined) {
        return { name, result: 'not counted', notes: ['this service has no signatures'] };
      }
      this.#txIds.set(asked, signature);
    } else if (asked !== undefined && !name.endsWith('-immediately')) {
      await this.#committed(this.#ours(asked));
    }
    const reply = await this.#ask(recording);
    if (endsConnection(recording)) this.#clients.delete(recording.client);
    const recordedTxId = recording.answerHeaders.get('x-ms-ccf-transaction-id');
    const ourTxId = reply.headers.get('x-ms-ccf-transaction-id');
    if (recording.method !== 'GET' && recordedTxId !== undefined && ourTxId !== undefined) {
      this.#txIds.set(recordedTxId, ourTxId);
    }
    return outcomeOf(
      name,
      differences(recording, reply, (txId) => this.#ours(txId)),
    );
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #ours(recorded: string): string {
    return this.#txIds.get(recorded) ?? recorded;
  }

  #askedTxId({ target }: Recording): string | undefined {
    const asked = /[?&]transaction_id=(2\.\d+)$/.exec(target)?.[1];
    return asked === undefined || FAR_AWAY.test(asked) ? undefined : asked;
  }

  async #ask({ client, method, target, headers, body }: Recording): Promise<Reply> {
    const lines = headers.map(([name, value]) => [name, this.#inOurTerms(value)] as const);
    return (await this.#client(client)).ask(method, this.#inOurTerms(target), {
      headers: Object.fromEntries(lines),
      body,
    });
  }

  #inOurTerms(text: string): string {
    return inOurTerms(text, (txId) => this.#ours(txId));
  }

  async #client(name: ClientName): Promise<RawClient> {
    const open = this.#clients.get(name);
    if (open !== undefined && !open.isClosed) return open;
    const client = await RawClient.connect(this.#target, this.#target.identities[name]);
    this.#clients.set(name, client);
    return client;
  }

  async #committed(txId: string): Promise<void> {
    const client = await this.#client('none');
    for (let tries = 0; tries < 200; tries += 1) {
      const reply = await client.ask('GET', `/node/tx?transaction_id=${txId}`);
      if (reply.body.includes('"Committed"')) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`${txId} was not committed within five seconds`);
  }
}

/** The server closes the connection behind these. */
function endsConnection({ headers, status }: Recording): boolean {
  const asked = headers.some(([name, value]) => name === 'connection' && value === 'close');
  return asked || status === 413 || status === 431;
}

function outcomeOf(name: string, differing: readonly string[]): Outcome {
  if (differing.length === 0) return { name, result: 'agrees', notes: [] };
  const deviation = DEVIATIONS.find(({ exchange }) => exchange === name);
  const unexplained = differing.filter((one) => !(deviation?.differs.test(one) ?? false));
  if (deviation === undefined || unexplained.length > 0) {
    return { name, result: 'differs', notes: unexplained };
  }
  return { name, result: 'deviates', notes: [deviation.why] };
}

/** Deviations that were announced and not seen: their entry should go. */
export function unseenDeviations(outcomes: readonly Outcome[]): readonly Deviation[] {
  const deviating = new Set(
    outcomes.filter(({ result }) => result === 'deviates').map(({ name }) => name),
  );
  return DEVIATIONS.filter(
    ({ exchange, sometimes }) => sometimes !== true && !deviating.has(exchange),
  );
}

/** The outcomes as a table for people. */
export function tableOf(outcomes: readonly Outcome[]): string {
  const count = (result: Outcome['result']): number =>
    outcomes.filter((outcome) => outcome.result === result).length;
  const rows = outcomes
    .filter(({ result }) => result !== 'agrees')
    .map(({ name, result, notes }) => `  ${result.padEnd(12)}${name}: ${notes.join('; ')}`);
  const summary =
    `${count('agrees')} agree, ${count('deviates')} deviate on purpose, ` +
    `${count('differs')} differ, ${count('not counted')} are not counted`;
  return [...rows, `  ${summary}`].join('\n');
}
