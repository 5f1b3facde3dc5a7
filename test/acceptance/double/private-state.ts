/**
 * One private state of a Quorum node: its contracts, and GoQuorum's rules for what touches them
 * (`core/state_transition_pmh.go`): every contract that is touched must be here with the flag of
 * the transaction, and be named by the hash that made it; with private state validation, both ends
 * must come to the same state.
 */
import { type Meaning, meaningOf } from '../contracts.ts';
import { digest } from './chain.ts';
import type { Received } from './requests.ts';

interface Contract {
  /** Base64: the payload that made it. */
  readonly creation: string;
  readonly flag: number;
  readonly code: { readonly kind: 'storage' } | { readonly kind: 'forwarder'; target: string };
  value: number;
  mandatory: readonly string[];
}

/** What one wants to send, tried out. */
export interface Trial {
  /** Hashes of the transactions that made the contracts it touches. */
  readonly affected: readonly string[];
  readonly execHash?: string;
}

export interface Call {
  readonly to: string | undefined;
  readonly creates: string;
}

const VALIDATED = 3;

export class PrivateState {
  readonly #contracts = new Map<string, Contract>();

  value(address: string): number | undefined {
    const contract = this.#contracts.get(address);
    return contract?.code.kind === 'storage' ? contract.value : undefined;
  }

  contract(address: string): Readonly<Contract> | undefined {
    return this.#contracts.get(address);
  }

  /** A contract whose state was handed over. */
  adopt(address: string, state: Readonly<Contract>, stateHash: string): void {
    this.#contracts.set(address, { ...state });
    this.remake(address, stateHash);
  }

  /** A protected contract whose state was shared: that is what made it, for later transactions. */
  remake(address: string, stateHash: string): void {
    const contract = this.#contracts.get(address);
    if (contract === undefined || contract.flag === 0) return;
    this.#contracts.set(address, { ...contract, creation: stateHash });
  }

  noteMandatory(address: string, keys: readonly string[]): void {
    const contract = this.#contracts.get(address);
    if (contract !== undefined) contract.mandatory = keys;
  }

  /** Runs a payload without keeping anything, as a node does before it sends. */
  trial(payload: string, call: Call, flag: number): Trial {
    const meaning = meaningOf(payload);
    const touched = this.#touched(meaning, call);
    if (flag !== 0 && touched.some(({ contract }) => contract === undefined)) {
      throw new Error('contract not found. cannot transact');
    }
    const known = touched.flatMap(({ contract }) => contract ?? []);
    if (known.some((contract) => contract.flag !== flag)) {
      throw new Error("sent privacy flag doesn't match all affected contract flags");
    }
    if (meaning.kind === 'fail') throw new Error('execution reverted');
    const affected = flag === 0 ? [] : known.map(({ creation }) => creation);
    return flag === VALIDATED
      ? { affected, execHash: this.#stateAfter(meaning, call) }
      : { affected };
  }

  /** Runs a payload of the chain; false when the transaction fails here. */
  apply(received: Received, call: Call, creation: string): boolean {
    const meaning = meaningOf(`0x${Buffer.from(received.payload, 'base64').toString('hex')}`);
    const { privacyFlag: flag } = received;
    for (const { contract } of this.#touched(meaning, call)) {
      if (contract === undefined) {
        if (flag !== 0) return false;
      } else if (contract.flag !== flag) return false;
      else if (flag !== 0 && !received.affected.includes(contract.creation)) return false;
    }
    if (received.execHash !== '' && received.execHash !== this.#stateAfter(meaning, call)) {
      return false;
    }
    switch (meaning.kind) {
      case 'storage':
      case 'forwarder': {
        const value = meaning.kind === 'storage' ? meaning.value : 0;
        const contract = { creation, flag, code: meaning, value, mandatory: [] };
        this.#contracts.set(call.creates, contract);
        return true;
      }
      case 'set': {
        const last = this.#touched(meaning, call).at(-1)?.contract;
        if (last !== undefined) last.value = meaning.value;
        return true;
      }
      case 'fail':
        return false;
    }
  }

  /** The contract that is called, and the one it passes the call on to. */
  #touched(
    { kind }: Meaning,
    { to }: Call,
  ): readonly { readonly address: string; readonly contract: Contract | undefined }[] {
    if (kind === 'storage' || kind === 'forwarder' || to === undefined) return [];
    const contract = this.#contracts.get(to);
    const first = { address: to, contract };
    if (contract?.code.kind !== 'forwarder') return [first];
    const { target } = contract.code;
    return [first, { address: target, contract: this.#contracts.get(target) }];
  }

  /** Stands for the root of the storage of all that is touched. */
  #stateAfter(meaning: Meaning, call: Call): string {
    const touched = this.#touched(meaning, call).map(({ address, contract }, at, all) => {
      const isLast = at === all.length - 1 && meaning.kind === 'set';
      return `${address} ${isLast ? meaning.value : contract?.value}`;
    });
    const made = meaning.kind === 'storage' ? [`${call.creates} ${meaning.value}`] : [];
    return Buffer.from(digest([...touched, ...made].join()), 'hex').toString('base64');
  }
}
