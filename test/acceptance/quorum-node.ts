/**
 * A Quorum node with its organisation's transaction manager, as the stories see it. What it is made
 * of is either GoQuorum itself (`geth/`) or a double that makes GoQuorum's requests (`double/`).
 */

/** GoQuorum's privacy flags 0 to 3, by name. */
export const PROTECTIONS = ['standard', 'parties', 'mandatory', 'state'] as const;
export type Protection = (typeof PROTECTIONS)[number];

export interface Party {
  readonly partyKey: string;
}

export interface Privacy {
  /** The other parties: `privateFor`. */
  readonly for: readonly Party[];
  readonly protection?: Protection;
  /** Recipients that may not be left out: `mandatoryFor`. */
  readonly mandatory?: readonly Party[];
  /** The chain shows a marker alone; the private transaction goes the way of its payload. */
  readonly marked?: boolean;
}

export interface Deployed {
  /** Address. */
  readonly contract: string;
  /** Hash on the chain. */
  readonly transaction: string;
}

export interface SeenPayload {
  readonly hex: string;
  readonly isSender: boolean;
}

/**
 * What is sent is taken in by all nodes before its promise is kept. A refusal rejects with what
 * GoQuorum says.
 */
export interface QuorumNode extends Party {
  readonly name: string;
  /** Its own account on the chain. */
  readonly account: string;
  deploy(value: number, privacy: Privacy): Promise<Deployed>;
  /** A contract that passes every call on to another one. */
  deployForwarder(target: string, privacy: Privacy): Promise<Deployed>;
  set(contract: string, value: number, privacy: Privacy): Promise<string>;
  /** Calls what reverts. */
  fail(contract: string, privacy: Privacy): Promise<string>;
  /** What a contract holds in this node's private state; undefined without such a contract. */
  value(contract: string): Promise<number | undefined>;
  /** Whether a transaction succeeded, as this node sees it. */
  succeeded(transaction: string): Promise<boolean>;
  /** The payload behind a private transaction; undefined for who is no party. */
  payload(transaction: string): Promise<SeenPayload | undefined>;
  /** Who may not be left out, as this node has noted it. */
  mandatoryOf(contract: string): Promise<readonly string[]>;

  /** Stores a payload ahead of its transaction, as an application does; gives its hash. */
  storeAhead(hex: string): Promise<string>;
  /** Sends a transaction that an outside account signed over the hash of a stored payload. */
  deploySigned(hash: string, privacy: Privacy): Promise<Deployed>;
  setSigned(contract: string, hash: string, privacy: Privacy): Promise<string>;

  /** Offers a contract's state to a new party, and votes for it; gives the managing contract. */
  extend(contract: string, to: QuorumNode): Promise<string>;
  /** The new party's vote; when it is yes, its node has the state. */
  vote(extension: string, isYes: boolean): Promise<void>;
  /** The creator takes its offer back. */
  cancel(extension: string): Promise<void>;
}

/** Where a Quorum node, or one resident of it, stands. */
export interface Place extends Party {
  readonly name: string;
  /** From 1; residents share one. */
  readonly node: number;
  /** `http://host:port` or `unix:/path`. */
  readonly manager: string;
  readonly resident?: string;
  /** What an application does by the manager's own endpoint. */
  storeAhead(hex: string): Promise<string>;
}
