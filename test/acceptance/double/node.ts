/**
 * A double of a GoQuorum node: it makes GoQuorum's requests to its manager when GoQuorum would make
 * them, and keeps private states by its rules. A payload that it has sent or read is in its memory,
 * so it is asked for once; what is not its own is not remembered, and asked for again.
 */
import { meaningOf } from '../contracts.ts';
import { PROTECTIONS, type Privacy, type SeenPayload } from '../quorum-node.ts';
import type { ChainNode, ChainTransaction, PublicChain } from './chain.ts';
import { PrivateState } from './private-state.ts';
import { ManagerRequests, type Order, type Received } from './requests.ts';

/** The one private state of a node without residents. */
export const ONLY_STATE = 'private';

const MANDATORY = 2;

export interface Sender {
  readonly account: string;
  /** The private state in which it is tried out. */
  readonly state: string;
  /** Named only where a node has several keys: else its manager takes the first. */
  readonly from?: string;
}

export class NodeDouble implements ChainNode {
  readonly chain: PublicChain;
  readonly requests: ManagerRequests;
  readonly #known = new Map<string, Received>();
  readonly #states = new Map<string, PrivateState>();
  readonly #failed = new Set<string>();
  /** Party key to private state; empty without residents. */
  readonly #residents = new Map<string, string>();
  /** Told of each private transaction that the node is a party to. */
  onPrivate: ((transaction: ChainTransaction, received: Received) => Promise<void>) | undefined;

  constructor(chain: PublicChain, target: string) {
    this.chain = chain;
    this.requests = new ManagerRequests(target);
  }

  /** Starts as GoQuorum does, and takes in what is on the chain already. */
  async start(hasResidents = false): Promise<this> {
    await this.requests.handshake();
    for (const { name, members } of hasResidents ? await this.requests.residents() : []) {
      for (const member of members) this.#residents.set(member, name);
    }
    for (const transaction of this.chain.transactions) await this.take(transaction);
    this.chain.join(this);
    return this;
  }

  state(name: string): PrivateState {
    let state = this.#states.get(name);
    if (state === undefined) {
      state = new PrivateState();
      this.#states.set(name, state);
    }
    return state;
  }

  succeeded(hash: string): boolean {
    this.chain.find(hash);
    return !this.#failed.has(hash);
  }

  /** Sends a payload; done when all nodes have taken its transaction in. */
  async send(
    { account, state, from }: Sender,
    payload: string,
    privacy: Privacy,
    to?: string,
  ): Promise<ChainTransaction> {
    const creates = this.chain.nextContract(account);
    const order = this.#order(state, payload, { to, creates }, privacy, from);
    const bytes = Buffer.from(payload.slice(2), 'hex');
    const { key, managedParties } = await this.requests.send(bytes, order);
    this.#remember(key, bytes, order, managedParties);
    const called = { ...(to === undefined ? {} : { to }), creates };
    if (privacy.marked !== true) {
      return await this.chain.append(account, { payloadHash: key, ...called });
    }
    const hidden = Buffer.from(`${JSON.stringify({ input: key, ...called })}\n`);
    const plain = { to: order.to, affected: [], privacyFlag: 0 };
    const marker = await this.requests.send(hidden, plain);
    this.#remember(marker.key, hidden, plain, marker.managedParties);
    return await this.chain.append(account, {
      payloadHash: marker.key,
      isMarker: true,
      creates,
    });
  }

  /** Sends what an outside account has signed over a payload's hash. */
  async sendSigned(
    { account, state }: Sender,
    hash: string,
    privacy: Privacy,
    to?: string,
  ): Promise<ChainTransaction> {
    const creates = this.chain.nextContract(account);
    const stored = await this.requests.receive(hash, true);
    const bytes = Buffer.from(stored?.payload ?? '', 'base64');
    const payload = `0x${bytes.toString('hex')}`;
    // GoQuorum goes on with a hash that it could not read; its manager refuses it.
    const order =
      stored === undefined
        ? { to: keysOf(privacy), affected: [], privacyFlag: flagOf(privacy) }
        : this.#order(state, payload, { to, creates }, privacy);
    const { key, managedParties } = await this.requests.sendSigned(hash, order);
    this.#remember(key, bytes, order, managedParties);
    const called = { ...(to === undefined ? {} : { to }), creates };
    return await this.chain.append(account, { payloadHash: key, ...called });
  }

  /** Takes in a block. */
  async take(transaction: ChainTransaction): Promise<void> {
    const found = await this.received(transaction.payloadHash);
    if (found === undefined) return;
    if (!transaction.isMarker) {
      await this.#run(transaction, transaction.payloadHash, found);
      return;
    }
    const hidden = JSON.parse(Buffer.from(found.payload, 'base64').toString()) as {
      readonly input: string;
      readonly to?: string;
    };
    const inner = await this.received(hidden.input);
    const { to } = hidden;
    const call = { ...transaction, ...(to === undefined ? {} : { to }) };
    if (inner !== undefined) await this.#run(call, hidden.input, inner);
  }

  /** A payload, from memory or from the manager; undefined for who is no party. */
  async received(hash: string): Promise<Received | undefined> {
    const known = this.#known.get(hash);
    if (known !== undefined) return known;
    const found = await this.requests.receive(hash, false);
    if (found !== undefined) this.#known.set(hash, found);
    return found;
  }

  /** `eth_getQuorumPayload`, then what else is told of a payload. */
  async payload(transaction: string): Promise<SeenPayload | undefined> {
    const { payloadHash } = this.chain.find(transaction);
    const found = await this.received(payloadHash);
    const isSender = await this.requests.fact(payloadHash, 'isSender');
    if (found === undefined || isSender === undefined) return undefined;
    const hex = `0x${Buffer.from(found.payload, 'base64').toString('hex')}`;
    return { hex, isSender: isSender === 'true' };
  }

  /** What a payload would touch, and the rest of what the manager is told with it. */
  #order(
    state: string,
    payload: string,
    call: { readonly to: string | undefined; readonly creates: string },
    privacy: Privacy,
    from?: string,
  ): Order {
    const privacyFlag = flagOf(privacy);
    const { affected, execHash } = this.state(state).trial(payload, call, privacyFlag);
    const mandatory = privacy.mandatory?.map(({ partyKey }) => partyKey);
    return {
      ...(from === undefined ? {} : { from }),
      to: keysOf(privacy),
      affected,
      ...(execHash === undefined ? {} : { execHash }),
      privacyFlag,
      ...(mandatory === undefined ? {} : { mandatory }),
    };
  }

  #remember(
    hash: string,
    payload: Buffer,
    order: Order,
    managedParties: readonly string[],
  ): void {
    const { affected, execHash = '', privacyFlag } = order;
    const rest = { affected, execHash, privacyFlag, managedParties };
    this.#known.set(hash, { payload: payload.toString('base64'), ...rest });
  }

  async #run(call: ChainTransaction, hash: string, found: Received): Promise<void> {
    if (this.onPrivate !== undefined && !isPlain(found)) {
      await this.onPrivate(call, found);
      return;
    }
    for (const name of this.#statesOf(found)) {
      const state = this.state(name);
      const { to, creates } = call;
      if (!state.apply(found, { to, creates }, hash)) this.#failed.add(call.hash);
      else if (found.privacyFlag === MANDATORY && to === undefined) {
        const keys = await this.requests.fact(hash, 'mandatory');
        state.noteMandatory(creates, keys?.split(',') ?? []);
      }
    }
  }

  #statesOf({ managedParties }: Received): ReadonlySet<string> {
    if (this.#residents.size === 0) return new Set([ONLY_STATE]);
    return new Set(managedParties.flatMap((key) => this.#residents.get(key) ?? []));
  }
}

/** Whether a payload is one of the contracts', not one that extends them. */
function isPlain({ payload }: Received): boolean {
  try {
    meaningOf(`0x${Buffer.from(payload, 'base64').toString('hex')}`);
    return true;
  } catch {
    return false;
  }
}

export function keysOf(privacy: Privacy): readonly string[] {
  return privacy.for.map(({ partyKey }) => partyKey);
}

export function flagOf({ protection = 'standard' }: Privacy): number {
  return PROTECTIONS.indexOf(protection);
}
