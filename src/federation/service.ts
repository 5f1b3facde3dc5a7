/**
 * What federation needs of the service behind it. The node implements it; the rules of payloads and
 * the tables are the application's, and nothing here knows them.
 */
import type { AppResponse } from '../apps/interface.ts';
import type { Seqno } from '../base/ids.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import type { PushedGroup } from './privacy-group.ts';

/** A party outside: its key, and where its node is. */
export interface OutsidePeerKey {
  readonly key: Uint8Array;
  readonly url: string;
  readonly versions: readonly string[];
}

/** A payload, or news of a privacy group, that is to be delivered to one recipient outside. */
export interface Delivery {
  /** The payload's key, or what names the news; opaque here. */
  readonly subject: Uint8Array;
  readonly recipient: Uint8Array;
}

/** With what is to be sent, and where; without, nothing is left to deliver. */
export interface DueDelivery extends Delivery {
  readonly due?: {
    readonly to: { readonly url: string; readonly versions: readonly string[] };
  } & ({ readonly payload: EncodedPayload } | { readonly group: PushedGroup });
}

export interface PeerClaim {
  readonly url: string;
  readonly versions: readonly string[];
  readonly keys: readonly Uint8Array[];
  /** Whether the peer has shown that it holds them. */
  readonly isProven: boolean;
}

/** Where some payloads of a party lie. */
export interface OwnPayloads {
  /** Places in the ledger, in no order. */
  readonly seqnos: readonly Seqno[];
  /** Where to look on; absent at the end. */
  readonly next?: Uint8Array;
}

/**
 * Answers are Tessera's in status and sentence. What cannot be done now, or is refused where no
 * answer is expected, rejects with a coded error.
 */
export interface FederationService {
  isPrimary(): boolean;
  insideKeys(): readonly Uint8Array[];
  outsideKeys(): readonly OutsidePeerKey[];
  outboxLength(): number;
  /** What is to be delivered, oldest first; of one payload if it is named. */
  outbox(payload?: Uint8Array): readonly Delivery[];
  due(deliveries: readonly Delivery[]): Promise<readonly DueDelivery[]>;
  delivered(deliveries: readonly Delivery[]): Promise<void>;
  accept(payload: EncodedPayload): Promise<AppResponse>;
  acceptGroup(group: PushedGroup): Promise<AppResponse>;
  openChallenge(challenge: EncodedPayload): Promise<Uint8Array>;
  registerPeer(claim: PeerClaim): Promise<AppResponse>;
  resend(key: Uint8Array, party: Uint8Array): Promise<EncodedPayload>;
  ownPayloads(party: Uint8Array, from: Uint8Array | undefined): Promise<OwnPayloads>;
  /** Payloads of a party by where they lie; without those that are its own no more. */
  resendAll(party: Uint8Array, seqnos: readonly Seqno[]): Promise<readonly EncodedPayload[]>;
}
