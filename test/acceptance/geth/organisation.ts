/** A GoQuorum node, or one resident of it, as the stories see it. */
import { ethers } from 'ethers';
import { FAILING_CALL, forwarderCode, GET_CALL, setCall, storageCode } from '../contracts.ts';
import {
  type Deployed,
  type Place,
  PROTECTIONS,
  type Privacy,
  type QuorumNode,
  type SeenPayload,
} from '../quorum-node.ts';
import { until } from '../story.ts';
import { GethRpc, stateUrl } from './rpc.ts';

/** Managing contracts by address, and who made them. */
export type Offers = Map<string, Offer>;

interface Offer {
  readonly by: GethOrganisation;
  readonly to: QuorumNode;
  readonly contract: string;
}

export interface GethOptions {
  readonly url: string;
  /** All nodes: what is sent is done when each has taken it in. */
  readonly network: readonly GethRpc[];
  readonly offers: Offers;
  /** The node's own account. */
  readonly wallet: ethers.Wallet;
}

interface Receipt {
  readonly status: string;
  readonly contractAddress: string | null;
}

const GAS = '0x11e1a300';
const PRECOMPILE = '0x000000000000000000000000000000000000007a';
const VOTES = new ethers.Interface(['function votes(address) view returns (bool)']);

export class GethOrganisation implements QuorumNode {
  readonly name: string;
  readonly partyKey: string;
  readonly account: string;
  readonly #place: Place;
  readonly #rpc: GethRpc;
  readonly #network: readonly GethRpc[];
  readonly #offers: Offers;
  /** Signs outside of the node. */
  readonly #outside = ethers.Wallet.createRandom();
  #nonce = 0;

  constructor(place: Place, { url, network, offers, wallet }: GethOptions) {
    this.name = place.name;
    this.partyKey = place.partyKey;
    this.account = wallet.address;
    this.#place = place;
    this.#rpc = new GethRpc(stateUrl(url, place.resident));
    this.#network = network;
    this.#offers = offers;
  }

  deploy(value: number, privacy: Privacy): Promise<Deployed> {
    return this.#deploy(storageCode(value), privacy);
  }

  deployForwarder(target: string, privacy: Privacy): Promise<Deployed> {
    return this.#deploy(forwarderCode(target), privacy);
  }

  set(contract: string, value: number, privacy: Privacy): Promise<string> {
    return this.#call(contract, setCall(value), privacy);
  }

  fail(contract: string, privacy: Privacy): Promise<string> {
    return this.#call(contract, FAILING_CALL, privacy);
  }

  async value(contract: string): Promise<number | undefined> {
    const found = await this.#rpc.ask('eth_call', { to: contract, data: GET_CALL }, 'latest');
    return found === '0x' ? undefined : Number(found);
  }

  async succeeded(transaction: string): Promise<boolean> {
    return (await receiptAt(this.#rpc, transaction)).status === '0x1';
  }

  async payload(transaction: string): Promise<SeenPayload | undefined> {
    const { input } = await this.#rpc.ask<{ input: string }>(
      'eth_getTransactionByHash',
      transaction,
    );
    const hex = await this.#rpc.ask('eth_getQuorumPayload', input);
    if (hex === '0x') return undefined;
    type Extra = { readonly IsSender: boolean };
    const { IsSender: isSender } = await this.#rpc.ask<Extra>(
      'eth_getQuorumPayloadExtra',
      input,
    );
    return { hex, isSender };
  }

  async mandatoryOf(contract: string): Promise<readonly string[]> {
    type Metadata = { readonly mandatoryFor?: readonly string[] };
    const found = await this.#rpc.ask<Metadata>('eth_getContractPrivacyMetadata', contract);
    return found.mandatoryFor ?? [];
  }

  storeAhead(hex: string): Promise<string> {
    return this.#place.storeAhead(hex);
  }

  async deploySigned(hash: string, privacy: Privacy): Promise<Deployed> {
    return await this.#deployed(await this.#sendSigned(hash, privacy));
  }

  async setSigned(contract: string, hash: string, privacy: Privacy): Promise<string> {
    return await this.#sendSigned(hash, privacy, contract);
  }

  async extend(contract: string, to: QuorumNode): Promise<string> {
    const gas = { from: this.account, gas: '0x47e7c0', gasPrice: '0x0' };
    const privacyFlag = await this.#flagOf(contract);
    const own = { privateFrom: this.partyKey, privateFor: [to.partyKey], privacyFlag };
    const ask = ['quorumExtension_extendContract', contract, to.partyKey, to.account] as const;
    const hash = await this.#rpc.ask(...ask, { ...gas, ...own });
    await this.#taken(hash);
    const managing = (await receiptAt(this.#rpc, hash)).contractAddress ?? '';
    this.#offers.set(managing, { by: this, to, contract });
    const data = VOTES.encodeFunctionData('votes', [this.account]);
    await until('its own vote is in', async () => {
      const seen = await this.#rpc.ask('eth_call', { to: managing, data }, 'latest');
      return BigInt(seen) === 1n;
    });
    return managing;
  }

  async vote(extension: string, isYes: boolean): Promise<void> {
    const offer = this.#offers.get(extension);
    if (offer === undefined) throw new Error(`${extension} manages nothing`);
    const gas = { from: this.account, gas: '0x47e7c0', gasPrice: '0x0' };
    const privacyFlag = await offer.by.#flagOf(offer.contract);
    const own = { privateFrom: this.partyKey, privateFor: [offer.by.partyKey], privacyFlag };
    const ask = ['quorumExtension_approveExtension', extension, isYes] as const;
    await this.#taken(await this.#rpc.ask(...ask, { ...gas, ...own }));
    await this.#finished(extension, [this, offer.by]);
    if (!isYes) return;
    await until('the state is here', async () => {
      return (await this.value(offer.contract)) !== undefined;
    });
  }

  async cancel(extension: string): Promise<void> {
    const gas = { from: this.account, gas: '0x47e7c0', gasPrice: '0x0' };
    const to = this.#offers.get(extension)?.to.partyKey;
    const own = { privateFrom: this.partyKey, privateFor: [to] };
    const ask = ['quorumExtension_cancelExtension', extension] as const;
    await this.#taken(await this.#rpc.ask(...ask, { ...gas, ...own }));
    await this.#finished(extension, [this]);
  }

  async #finished(extension: string, at: readonly GethOrganisation[]): Promise<void> {
    for (const one of at) {
      await until('the extension is done', async () => {
        const status = await one.#rpc.ask('quorumExtension_getExtensionStatus', extension);
        return status === 'DONE';
      });
    }
  }

  /** 0 for a contract without metadata. */
  async #flagOf(contract: string): Promise<number> {
    type Metadata = { readonly privacyFlag: number };
    return await this.#rpc
      .ask<Metadata>('eth_getContractPrivacyMetadata', contract)
      .then(({ privacyFlag }) => privacyFlag)
      .catch(() => 0);
  }

  async #deploy(data: string, privacy: Privacy): Promise<Deployed> {
    if (privacy.marked !== true) {
      return await this.#deployed(await this.#send({ data }, privacy));
    }
    const nonce = this.#nonce;
    const transaction = await this.#mark(data, privacy);
    const from = this.#outside.address;
    return { contract: ethers.getCreateAddress({ from, nonce }), transaction };
  }

  async #call(to: string, data: string, privacy: Privacy): Promise<string> {
    if (privacy.marked === true) return await this.#mark(data, privacy, to);
    return await this.#send({ to, data }, privacy);
  }

  async #send(what: Readonly<Record<string, string>>, privacy: Privacy): Promise<string> {
    const { resident } = this.#place;
    const from = resident === undefined ? {} : { privateFrom: this.partyKey };
    const how = { from: this.account, gas: GAS, gasPrice: '0x0', ...from };
    const hash = await this.#rpc.ask('eth_sendTransaction', {
      ...{ ...how, ...what, ...argsOf(privacy) },
    });
    await this.#taken(hash);
    return hash;
  }

  async #sendSigned(hash: string, privacy: Privacy, to?: string): Promise<string> {
    const signed = this.#signed(hash, to);
    const ask = ['eth_sendRawPrivateTransaction', signed, argsOf(privacy)] as const;
    const transaction = await this.#rpc.ask(...ask);
    this.#nonce += 1;
    await this.#taken(transaction);
    return transaction;
  }

  /** The private transaction goes to its parties, a public marker onto the chain. */
  async #mark(data: string, privacy: Privacy, to?: string): Promise<string> {
    const signed = this.#signed(await this.storeAhead(data), to);
    const ask = ['eth_distributePrivateTransaction', signed, argsOf(privacy)] as const;
    const marker = await this.#outside.signTransaction({
      ...{ type: 0, chainId: 1337, gasPrice: 0, gasLimit: 300_000, nonce: this.#nonce },
      ...{ to: PRECOMPILE, data: await this.#rpc.ask(...ask) },
    });
    const transaction = await this.#rpc.ask('eth_sendRawTransaction', marker);
    this.#nonce += 1;
    await this.#taken(transaction);
    return transaction;
  }

  /** Signed as GoQuorum wants private ones: Homestead's hash, and 37 or 38 as `v`. */
  #signed(hash: string, to = '0x'): string {
    const number = (value: number): string => (value === 0 ? '0x' : ethers.toBeHex(value));
    const data = `0x${Buffer.from(hash, 'base64').toString('hex')}`;
    const fields = [number(this.#nonce), '0x', GAS, to, '0x', data];
    const key = new ethers.SigningKey(this.#outside.privateKey);
    const { r, s, yParity } = key.sign(ethers.keccak256(ethers.encodeRlp(fields)));
    const [first, second] = [r, s].map((one) => ethers.stripZerosLeft(one));
    return ethers.encodeRlp([...fields, number(37 + yParity), first ?? '0x', second ?? '0x']);
  }

  async #deployed(transaction: string): Promise<Deployed> {
    const { contractAddress } = await receiptAt(this.#rpc, transaction);
    return { contract: contractAddress?.toLowerCase() ?? '', transaction };
  }

  async #taken(transaction: string): Promise<void> {
    await Promise.all(this.#network.map((rpc) => receiptAt(rpc, transaction)));
  }
}

function argsOf({ for: parties, protection = 'standard', mandatory }: Privacy): object {
  const keys = (list: Privacy['for']): readonly string[] =>
    list.map(({ partyKey }) => partyKey);
  return {
    privateFor: keys(parties),
    privacyFlag: PROTECTIONS.indexOf(protection),
    ...(mandatory === undefined ? {} : { mandatoryFor: keys(mandatory) }),
  };
}

async function receiptAt(rpc: GethRpc, transaction: string): Promise<Receipt> {
  let receipt: Receipt | null = null;
  await until(`${transaction} is in a block`, async () => {
    receipt = await rpc.ask<Receipt | null>('eth_getTransactionReceipt', transaction);
    return receipt !== null;
  });
  if (receipt === null) throw new Error(`${transaction} is in no block`);
  return receipt;
}
