/**
 * The extension of contracts as a node does it (GoQuorum's `extension/`): the creator offers the
 * state by a managing contract, each side votes with an id that its own manager has sealed, and
 * when both have said yes the creator's node sends the state. What the managing contract does is
 * written here as JSON; the requests to the manager, and their order, are GoQuorum's.
 */
import type { ChainTransaction } from './chain.ts';
import { type NodeDouble, ONLY_STATE, type Sender } from './node.ts';
import type { Fields, Order, Received } from './requests.ts';

type Step =
  | {
      readonly step: 'offer';
      readonly contract: string;
      readonly to: string;
      readonly by: string;
    }
  | {
      readonly step: 'vote';
      readonly offer: string;
      readonly isYes: boolean;
      readonly id: string;
    }
  | { readonly step: 'share'; readonly offer: string; readonly stateHash: string }
  | { readonly step: 'cancel'; readonly offer: string };

interface Offer {
  readonly contract: string;
  readonly to: string;
  /** The creator's key: to it the new party's user addresses its vote. */
  readonly by: string;
  /** What the manager knows the managing contract by. */
  readonly payloadHash: string;
  readonly ids: string[];
  isDone: boolean;
}

const VOTERS = 2;

export class Extensions {
  readonly #node: NodeDouble;
  readonly #sender: Sender;
  readonly #partyKey: string;
  readonly #offers = new Map<string, Offer>();

  constructor(node: NodeDouble, sender: Sender, partyKey: string) {
    this.#node = node;
    this.#sender = sender;
    this.#partyKey = partyKey;
    node.onPrivate = (call, received) => this.#took(call, received);
  }

  /** Offers a contract, and votes for that; gives the address of the managing contract. */
  async offer(contract: string, to: string): Promise<string> {
    const { requests } = this.#node;
    const open = [...this.#offers.values()].find(
      (one) => one.contract === contract && !one.isDone,
    );
    if (open !== undefined) {
      throw new Error('contract extension in progress for the given contract address');
    }
    const known = this.#node.state(ONLY_STATE).contract(contract);
    if (known === undefined) {
      throw new Error('extending a non-existent private contract!!! not allowed');
    }
    let participants: readonly string[] = [];
    if (known.flag !== 0) {
      if ((await requests.fact(known.creation, 'isSender')) !== 'true') {
        throw new Error('operation not allowed');
      }
      participants = await this.#participants(known.creation);
    }
    const step: Step = { step: 'offer', contract, to, by: this.#partyKey };
    const all = [to, ...participants.filter((key) => key !== to)];
    const { creates } = await this.#send(step, all);
    return creates;
  }

  async vote(offer: string, isYes: boolean): Promise<void> {
    const known = this.#open(offer, 'accept');
    await this.#castVote(offer, known, isYes, [known.by], undefined);
  }

  async cancel(offer: string): Promise<void> {
    const known = this.#open(offer, 'cancel');
    await this.#send({ step: 'cancel', offer }, await this.#participants(known.payloadHash));
  }

  #open(offer: string, what: string): Offer {
    const known = this.#offers.get(offer);
    if (known === undefined) throw new Error('no contract code at given address');
    if (!known.isDone) return known;
    throw new Error(`contract extension process complete. nothing to ${what}`);
  }

  async #participants(payloadHash: string): Promise<readonly string[]> {
    return (await this.#node.requests.fact(payloadHash, 'participants'))?.split(',') ?? [];
  }

  async #castVote(
    offer: string,
    { contract }: Offer,
    isYes: boolean,
    to: readonly string[],
    from: string | undefined,
  ): Promise<void> {
    const { requests } = this.#node;
    let id = '';
    if (isYes) {
      const address = Buffer.from(contract.slice(2), 'hex');
      const sealed = await requests.seal(address, orderFor([], from));
      id = (await requests.send(Buffer.from(JSON.stringify(sealed)), orderFor(to, from))).key;
    }
    await this.#send({ step: 'vote', offer, isYes, id }, to, from);
  }

  async #send(step: Step, to: readonly string[], from?: string): Promise<ChainTransaction> {
    const { requests, chain } = this.#node;
    const hash = await requests.storeRaw(Buffer.from(JSON.stringify(step)), from);
    await requests.sendSigned(hash, orderFor(to));
    const called = step.step === 'offer' ? {} : { to: step.offer };
    return await chain.append(this.#sender.account, { payloadHash: hash, ...called });
  }

  /** A transaction that this node is a party to, and that is no contract's. */
  async #took({ creates, payloadHash }: ChainTransaction, received: Received): Promise<void> {
    const step = JSON.parse(Buffer.from(received.payload, 'base64').toString()) as Step;
    const { requests, chain } = this.#node;
    switch (step.step) {
      case 'offer': {
        const { contract, to, by } = step;
        const offer: Offer = { contract, to, by, payloadHash, ids: [], isDone: false };
        this.#offers.set(creates, offer);
        if ((await requests.fact(payloadHash, 'isSender')) !== 'true') return;
        chain.afterwards(async () => {
          const all = await this.#participants(payloadHash);
          await this.#castVote(creates, offer, true, all, this.#partyKey);
        });
        return;
      }
      case 'vote': {
        const offer = this.#offers.get(step.offer);
        if (offer === undefined) return;
        if (!step.isYes) offer.isDone = true;
        else if (offer.ids.push(step.id) === VOTERS && offer.to !== this.#partyKey) {
          chain.afterwards(() => this.#share(step.offer, offer));
        }
        return;
      }
      case 'share': {
        const offer = this.#offers.get(step.offer);
        if (offer === undefined) return;
        offer.isDone = true;
        // For all its parties, a protected contract is from now on made by what was shared.
        this.#node.state(ONLY_STATE).remake(offer.contract, step.stateHash);
        if (offer.to === this.#partyKey)
          chain.afterwards(() => this.#adopt(offer, step.stateHash));
        return;
      }
      case 'cancel': {
        const offer = this.#offers.get(step.offer);
        if (offer !== undefined) offer.isDone = true;
      }
    }
  }

  /** The creator's node sends the state to all parties of the managing contract. */
  async #share(offer: string, { contract, payloadHash }: Offer): Promise<void> {
    const to = await this.#participants(payloadHash);
    const state = JSON.stringify(this.#node.state(ONLY_STATE).contract(contract));
    const from = this.#partyKey;
    const privacyFlag = this.#node.state(ONLY_STATE).contract(contract)?.flag ?? 0;
    const order = { ...orderFor(to, from), privacyFlag };
    const { key } = await this.#node.requests.send(Buffer.from(state), order);
    await this.#send({ step: 'share', offer, stateHash: key }, to, from);
  }

  /** The new party takes the state if an id that it sealed itself stands for this contract. */
  async #adopt({ ids, contract }: Offer, stateHash: string): Promise<void> {
    const { requests } = this.#node;
    for (const id of ids) {
      if ((await requests.fact(id, 'isSender')) !== 'true') continue;
      const own = await this.#node.received(id);
      const sealed = JSON.parse(Buffer.from(own?.payload ?? '', 'base64').toString()) as Fields;
      const address = `0x${(await requests.unseal(sealed)).toString('hex')}`;
      const state = await this.#node.received(stateHash);
      if (address !== contract || state === undefined) continue;
      const text = Buffer.from(state.payload, 'base64').toString();
      this.#node.state(ONLY_STATE).adopt(contract, JSON.parse(text), stateHash);
    }
  }
}

function orderFor(to: readonly string[], from?: string): Order {
  return { ...(from === undefined ? {} : { from }), to, affected: [], privacyFlag: 0 };
}
