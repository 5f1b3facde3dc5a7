// Clients of a simulated service: organisations that send payloads to each other through the
// transaction manager and read them back, and users of the log. They ask any node, look for the
// primary, repeat what was not answered under its request id, and remember what they were told.

import type { AppResponse } from '../../src/apps/interface.ts';
import {
  ORGANISATIONS as ORGANISATION_ROWS,
  type OrganisationRow,
  PARTY_KEYS,
  PARTY_PRIVATE_KEYS,
} from '../../src/apps/organisations.ts';
import { base64Of, utf8 } from '../../src/base/bytes.ts';
import { isCoded } from '../../src/base/errors.ts';
import { type TxId, textOfTxId } from '../../src/base/ids.ts';
import { REQUEST_ID_HEADER } from '../../src/base/own-headers.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import {
  callerOfOrganisation,
  layOrganisations,
  type PartyKeyPair,
} from '../support/quorum-network.ts';
import { type Asked, ask, type Outcome } from './asking.ts';
import type { Chance } from './chance.ts';
import { ClientHistory, type Sending } from './client-history.ts';
import type { Fleet } from './fleet.ts';
import type { Machine } from './machine.ts';
import { judgeReceipt } from './receipt-check.ts';
import { require as mustHold } from './violation.ts';
import type { World } from './world.ts';

const ORGANISATIONS = 3;
const LOG_IDS = 6;
const ATTEMPTS_MAX = 6;
const VENDOR = 'application/vnd.tessera-4.0+json';
const VENDOR_READ = 'application/vnd.tessera-2.1+json';
/** Marks every private value, so that it is found where it must not be. */
export const CANARY = 'canary-7d1f3c5a-';

export class Clients {
  readonly history = new ClientHistory();
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #chance: Chance;
  #keys: readonly PartyKeyPair[];
  /** An organisation whose Quorum node is away while troubles last. */
  readonly #away: number | undefined;
  #serial = 0;
  #busy = 0;
  #isOver = false;

  constructor(world: World, fleet: Fleet) {
    this.#world = world;
    this.#fleet = fleet;
    this.#chance = world.chance.fork();
    this.#keys = Array.from({ length: ORGANISATIONS }, (_, index) => this.#newKey(index + 1));
    this.#away = this.#chance.flip(0.3) ? ORGANISATIONS : undefined;
  }

  #newKey(node: number): PartyKeyPair {
    const publicKey = base64Of(this.#chance.bytes(32));
    return { node, publicKey, privateKey: base64Of(this.#chance.bytes(32)) };
  }

  /** What they rest on, written as the service opens. */
  layDown(transaction: Transaction): void {
    layOrganisations(transaction, this.#keys, ORGANISATIONS);
  }

  /** Requests under way. */
  get busy(): number {
    return this.#busy;
  }

  start(): void {
    const { clients, thinkMsMax } = this.#world.settings;
    for (let client = 0; client < clients; client += 1) {
      this.#world.background(`client ${client}`, async () => {
        while (!this.#isOver) {
          await this.#world.pause(this.#chance.next() * thinkMsMax);
          if (this.#isOver) return;
          this.#busy += 1;
          await this.#doSomething();
          this.#busy -= 1;
        }
      });
    }
  }

  /** They begin nothing more. */
  end(): void {
    this.#isOver = true;
  }

  async #doSomething(): Promise<void> {
    const { sendings } = this.history;
    const kind = this.#chance.pick([
      ...['send', 'send', 'send', 'receive', 'receive', 'receive absent'],
      ...['log', 'log', 'read', 'read', 'status', 'receipt', 'key'],
    ] as const);
    switch (kind) {
      case 'send':
        await this.#send();
        break;
      case 'receive':
        if (sendings.length > 0) await this.receive(this.#chance.pick(sendings));
        break;
      case 'receive absent':
        await this.#receiveAbsent();
        break;
      case 'log':
        await this.#log();
        break;
      case 'read':
        await this.#read();
        break;
      case 'status':
        this.#pollOld();
        break;
      case 'receipt':
        await this.#receipt();
        break;
      case 'key':
        if (this.#chance.flip(0.2)) await this.#addKey();
        break;
    }
  }

  // The transaction manager.

  async #send(): Promise<void> {
    const { payloadBytesMax } = this.#world.settings;
    const from = this.#somebody();
    const recipients = this.#keys.filter(({ node }) => node !== from && this.#chance.flip(0.7));
    const to = recipients.map(({ node }) => node);
    if (this.#away !== undefined && to.includes(this.#away)) {
      this.#world.faults.count('client: recipient away');
    }
    const filler = 'x'.repeat(this.#chance.below(payloadBytesMax));
    const payload = base64Of(utf8(`${CANARY}${this.#next()}${filler}`));
    const sending: Sending = { from, to, payload };
    this.history.sendings.push(sending);
    const own = this.#chance.pick(this.#keys.filter(({ node }) => node === from));
    const body = JSON.stringify({
      payload,
      from: own.publicKey,
      to: recipients.map(({ publicKey }) => publicKey),
    });
    const id = Buffer.from(this.#chance.bytes(16)).toString('hex');
    const headers = {
      'content-type': VENDOR,
      accept: VENDOR,
      [REQUEST_ID_HEADER]: `${this.history.committedBound}.${id}`,
    };
    const target = '/quorum/q2t/send';
    const caller = callerOfOrganisation(from);
    const outcome = await this.#insist({ verb: 'POST', target, headers, body, caller });
    if (outcome?.kind !== 'answer') return;
    const { response } = outcome;
    mustHold(response.status === 201, 'Answers', () => `a send is answered ${said(response)}`);
    sending.hash = String((JSON.parse(bodyOf(response)) as { key: unknown }).key);
    sending.ackedMs = this.#world.nowMs;
    if (outcome.txId !== undefined) this.history.toldCommitted(outcome.txId);
    // Now and then a client did not hear the answer, and asks again: it gets the same one.
    if (!this.#chance.flip(0.1)) return;
    const again = await this.#insist({ verb: 'POST', target, headers, body, caller });
    if (again?.kind !== 'answer') return;
    this.history.repeats += 1;
    mustHold(
      bodyOf(again.response) === bodyOf(response),
      'DoneOnce',
      () => `a repeated send is answered ${said(again.response)}, first ${said(response)}`,
    );
  }

  /** Every payload that was acknowledged is there, on whichever node is asked. */
  async readAll(machines: readonly Machine[]): Promise<void> {
    for (const sending of this.history.sendings) {
      const machine = this.#chance.pick(machines);
      if (sending.hash === undefined) continue;
      const { kind } = await this.receive(sending, machine);
      mustHold(
        kind === 'answer',
        'AcknowledgedIsKept',
        () => `${machine.name} has no answer about ${sending.hash} when all is well`,
      );
    }
  }

  /** An organisation asks for a payload that was, or may have been, stored. */
  async receive(sending: Sending, machine = this.#someNode()): Promise<Outcome> {
    const { hash, to, from, payload } = sending;
    if (hash === undefined || machine === undefined) return { kind: 'silence' };
    const organisation = this.#somebody();
    const isParty = organisation === from || to.includes(organisation);
    const outcome = await this.#ask(machine, this.#receiveRequest(hash, organisation));
    if (outcome.kind !== 'answer') return outcome;
    const { response } = outcome;
    mustHold(
      response.status === (isParty ? 200 : 404),
      'AbsenceIsProven',
      () =>
        `${machine.name} answers ${said(response)} about ${hash}, stored by ${from} for ` +
        `${to.join()}, to organisation ${organisation}`,
    );
    if (!isParty) return outcome;
    const found = (JSON.parse(bodyOf(response)) as { payload: unknown }).payload;
    mustHold(found === payload, 'Answers', () => `${hash} is not what was stored`);
    return outcome;
  }

  /** An organisation gets another key while payloads are on their way. */
  async #addKey(): Promise<void> {
    const node = this.#fleet.primary?.node;
    if (node === undefined) return;
    const key = this.#newKey(1 + this.#chance.below(ORGANISATIONS));
    const added = node
      .commitService((transaction) => addPartyKey(transaction, key))
      .then(
        () => true,
        (error: unknown) => {
          if (!isCoded(error)) throw error;
          return false;
        },
      );
    const late = this.#world.pause(6_000).then(() => false);
    // Of one whose fate is unknown nobody makes use.
    if (!(await Promise.race([added, late]))) return;
    this.#keys = [...this.#keys, key];
    this.#world.faults.count('client: key added in flight');
  }

  async #receiveAbsent(): Promise<void> {
    const machine = this.#someNode();
    if (machine === undefined) return;
    const hash = base64Of(this.#chance.bytes(64));
    const outcome = await this.#ask(machine, this.#receiveRequest(hash, 1));
    if (outcome.kind !== 'answer') return;
    const { response } = outcome;
    mustHold(response.status === 404, 'Answers', () => `nothing is found: ${said(response)}`);
    this.history.absences += 1;
  }

  #receiveRequest(hash: string, organisation: number): Asked {
    return {
      verb: 'GET',
      target: `/quorum/q2t/transaction/${encodeURIComponent(hash)}`,
      headers: { accept: VENDOR_READ },
      caller: callerOfOrganisation(organisation),
    };
  }

  // The log.

  async #log(): Promise<void> {
    const id = this.#chance.below(LOG_IDS);
    const message = `${CANARY}${this.#next()}`;
    const write: { id: number; message: string; txId?: TxId } = { id, message };
    this.history.logWrites.push(write);
    const waitForCommit = this.#chance.flip(0.5);
    const asked: Asked = {
      verb: 'POST',
      target: '/log/private',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id, msg: message }),
      caller: callerOfOrganisation(1),
      options: { waitForCommit },
    };
    const machine = this.#primary();
    if (machine === undefined) return;
    const outcome = await this.#ask(machine, asked);
    if (outcome.kind !== 'answer' || outcome.txId === undefined) return;
    const { response, txId } = outcome;
    mustHold(response.status === 200, 'Answers', () => `a log write: ${said(response)}`);
    write.txId = txId;
    if (waitForCommit) this.history.toldCommitted(txId);
    else await this.#poll(txId);
  }

  async #read(): Promise<void> {
    const machine = this.#someNode();
    if (machine === undefined) return;
    const id = this.#chance.below(LOG_IDS);
    const isLinearizable = this.#chance.flip(0.5);
    const bound = this.history.committedBound;
    const outcome = await this.#ask(machine, {
      verb: 'GET',
      target: `/log/private?id=${id}`,
      caller: callerOfOrganisation(1),
      options: { linearizable: isLinearizable },
    });
    if (outcome.kind !== 'answer' || outcome.txId === undefined) return;
    const { response, txId } = outcome;
    const isFound = response.status === 200;
    const message = isFound ? (JSON.parse(bodyOf(response)) as { msg: string }).msg : undefined;
    this.history.logReads.push({ id, message, txId, isLinearizable, bound });
    mustHold(
      !isLinearizable || txId.seqno >= bound,
      'FreshReads',
      () =>
        `${machine.name} reads at ${textOfTxId(txId)} what should be fresh; ${bound} was ` +
        'committed before',
    );
  }

  // What became of transactions.

  /** Until it is decided, or the client tires of it. */
  async #poll(txId: TxId): Promise<void> {
    for (let polls = 0; polls < 20; polls += 1) {
      await this.#world.pause(20 + this.#chance.next() * 200);
      const machine = this.#someNode();
      if (machine?.node === undefined) continue;
      const status = machine.node.statusOf(txId);
      this.history.toldStatus(machine.name, txId, status);
      if (status === 'Committed' || status === 'Invalid') return;
    }
  }

  #pollOld(): void {
    const machine = this.#someNode();
    const { logWrites } = this.history;
    if (machine?.node === undefined || logWrites.length === 0) return;
    const { txId } = this.#chance.pick(logWrites);
    if (txId === undefined) return;
    this.history.toldStatus(machine.name, txId, machine.node.statusOf(txId));
  }

  async #receipt(): Promise<void> {
    const { history } = this;
    const machine = this.#someNode();
    const told = [...history.committedTxIds()];
    if (machine?.node === undefined || told.length === 0) return;
    const { process, node } = machine;
    const [view, seqno] = this.#chance.pick(told);
    const form = this.#chance.pick(['json', 'cose'] as const);
    const judged = judgeReceipt(this.#world, node, { view, seqno }, form).catch(
      (error: unknown) => {
        if (!isCoded(error)) throw error;
        return false;
      },
    );
    const late = this.#world.pause(4_000).then(() => false);
    if ((await Promise.race([judged, late])) && process?.isDead === false) {
      history.receipts += 1;
    }
  }

  // Whom they ask.

  /** Asks until an answer comes, or the client tires of it. */
  async #insist(asked: Asked): Promise<Outcome | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const machine = this.#primary() ?? this.#someNode();
      if (machine !== undefined) {
        const outcome = await this.#ask(machine, asked);
        if (outcome.kind === 'answer' && outcome.response.status < 500) return outcome;
        if (attempt > 0) this.#world.faults.count('client: request repeated');
      }
      await this.#world.pause(50 + this.#chance.next() * 400);
    }
    return undefined;
  }

  async #ask(machine: Machine, asked: Asked): Promise<Outcome> {
    const outcome = await ask(this.#world, machine, asked);
    if (outcome.kind === 'refused') {
      mustHold(
        EXPECTED_REFUSALS.has(outcome.code),
        'Answers',
        () => `${machine.name} refuses ${asked.verb} ${asked.target}: ${outcome.code}`,
      );
    }
    return outcome;
  }

  /** The primary as somebody believes it to be; now and then somebody is wrong. */
  #primary(): Machine | undefined {
    if (this.#chance.flip(0.1)) return this.#someNode();
    const { running, primary } = this.#fleet;
    const believing = running.filter(({ node }) => node.isPrimary());
    return this.#chance.flip(0.5) && believing.length > 0
      ? this.#chance.pick(believing)
      : primary;
  }

  /** An organisation whose Quorum node is there. */
  #somebody(): number {
    const organisation = 1 + this.#chance.below(ORGANISATIONS);
    const isAway = organisation === this.#away && !this.#world.isPeace;
    return isAway ? 1 : organisation;
  }

  #someNode(): Machine | undefined {
    const { running } = this.#fleet;
    return running.length === 0 ? undefined : this.#chance.pick(running);
  }

  #next(): number {
    this.#serial += 1;
    return this.#serial;
  }
}

function addPartyKey(transaction: Transaction, { node, ...key }: PartyKeyPair): void {
  const id = utf8(`organisation${node}`);
  const organisations = transaction.table(ORGANISATION_ROWS);
  const row = JSON.parse(
    Buffer.from(organisations.get(id) ?? []).toString(),
  ) as OrganisationRow;
  const partyKeys = [...row.party_keys, key.publicKey];
  organisations.put(id, utf8(JSON.stringify({ ...row, party_keys: partyKeys })));
  transaction.table(PARTY_KEYS).put(utf8(key.publicKey), id);
  const [publicKey, privateKey] = [key.publicKey, key.privateKey].map((text) =>
    Buffer.from(text, 'base64'),
  );
  if (publicKey === undefined || privateKey === undefined) return;
  transaction.table(PARTY_PRIVATE_KEYS).put(publicKey, privateKey);
}

/** What the service may say instead of an answer while it is in trouble. */
const EXPECTED_REFUSALS: ReadonlySet<string> = new Set([
  'NotPrimary',
  'NotConfirmed',
  'NodeStopping',
  'LedgerUnreadable',
  'LedgerWriteFailed',
  'TooManyPendingTransactions',
  'TransactionInvalid',
  'TransactionPendingOrUnknown',
  'SessionConsistencyLost',
]);

function bodyOf({ body = '' }: AppResponse): string {
  return typeof body === 'string' ? body : Buffer.from(body).toString();
}

function said(response: AppResponse): string {
  return `${response.status} ${bodyOf(response).slice(0, 200)}`;
}
