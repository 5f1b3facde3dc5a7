/** A double of a Quorum node, or one resident's view of it, as the stories see it. */
import { FAILING_CALL, forwarderCode, setCall, storageCode } from '../contracts.ts';
import type { Deployed, Place, Privacy, QuorumNode, SeenPayload } from '../quorum-node.ts';
import type { ChainTransaction } from './chain.ts';
import { Extensions } from './extensions.ts';
import { type NodeDouble, ONLY_STATE, type Sender } from './node.ts';

export class DoubledOrganisation implements QuorumNode {
  readonly name: string;
  readonly partyKey: string;
  readonly account: string;
  readonly node: NodeDouble;
  readonly #sender: Sender;
  readonly #outside: Sender;
  readonly #extensions: Extensions;
  readonly #place: Place;

  constructor(place: Place, node: NodeDouble) {
    const { name, partyKey, resident } = place;
    this.name = name;
    this.partyKey = partyKey;
    this.node = node;
    this.#place = place;
    const state = resident ?? ONLY_STATE;
    const from = resident === undefined ? {} : { from: partyKey };
    this.account = `account of ${name}`;
    this.#sender = { account: this.account, state, ...from };
    this.#outside = { account: `outside account of ${name}`, state };
    this.#extensions = new Extensions(node, this.#sender, partyKey);
  }

  async deploy(value: number, privacy: Privacy): Promise<Deployed> {
    return deployed(await this.node.send(this.#sender, storageCode(value), privacy));
  }

  async deployForwarder(target: string, privacy: Privacy): Promise<Deployed> {
    return deployed(await this.node.send(this.#sender, forwarderCode(target), privacy));
  }

  async set(contract: string, value: number, privacy: Privacy): Promise<string> {
    return (await this.node.send(this.#sender, setCall(value), privacy, contract)).hash;
  }

  async fail(contract: string, privacy: Privacy): Promise<string> {
    return (await this.node.send(this.#sender, FAILING_CALL, privacy, contract)).hash;
  }

  value(contract: string): Promise<number | undefined> {
    return Promise.resolve(this.node.state(this.#sender.state).value(contract));
  }

  succeeded(transaction: string): Promise<boolean> {
    return Promise.resolve(this.node.succeeded(transaction));
  }

  payload(transaction: string): Promise<SeenPayload | undefined> {
    return this.node.payload(transaction);
  }

  mandatoryOf(contract: string): Promise<readonly string[]> {
    const known = this.node.state(this.#sender.state).contract(contract);
    return Promise.resolve(known?.mandatory ?? []);
  }

  storeAhead(hex: string): Promise<string> {
    return this.#place.storeAhead(hex);
  }

  async deploySigned(hash: string, privacy: Privacy): Promise<Deployed> {
    return deployed(await this.node.sendSigned(this.#outside, hash, privacy));
  }

  async setSigned(contract: string, hash: string, privacy: Privacy): Promise<string> {
    return (await this.node.sendSigned(this.#outside, hash, privacy, contract)).hash;
  }

  extend(contract: string, to: QuorumNode): Promise<string> {
    return this.#extensions.offer(contract, to.partyKey);
  }

  vote(extension: string, isYes: boolean): Promise<void> {
    return this.#extensions.vote(extension, isYes);
  }

  cancel(extension: string): Promise<void> {
    return this.#extensions.cancel(extension);
  }
}

function deployed({ creates, hash }: ChainTransaction): Deployed {
  return { contract: creates, transaction: hash };
}
