/**
 * Party information: said to all peers every few seconds, and taken in from them once they have
 * shown that the keys they name are their own (transaction-manager.md §C). Nobody's word is taken
 * for a key of somebody else.
 */
import { base64Of, binaryTextOf } from '../base/bytes.ts';
import type { Random, Timers } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { DECIDING_VERSIONS, OWN_VERSIONS, VERSIONS_HEADER } from './api-versions.ts';
import type { FederationCounters } from './counters.ts';
import { doubtOf } from './key-challenge.ts';
import { decodePartyInfo, encodePartyInfo, peerUrlOf } from './party-info.ts';
import type { PeerClient } from './peer-client.ts';
import type { Peers } from './peers.ts';
import type { FederationService } from './service.ts';

export interface ExchangeOptions {
  /** How often peers are told. */
  readonly intervalMs: number;
  /** Whether peers must show that they hold their keys. */
  readonly validatesKeys: boolean;
}

export interface ExchangeDependencies {
  readonly service: FederationService;
  readonly client: PeerClient;
  readonly peers: Peers;
  readonly timers: Timers;
  readonly random: Random;
  readonly counters: FederationCounters;
  readonly log: { info(text: string): void; warn(text: string): void };
}

/** Keys that one peer may name: each is challenged. */
const PEER_KEYS_MAX = 100;
/** A key that was shown counts for so long before it must be shown again. */
const PROOF_MS = 60_000;
const ANSWER_MS_MAX = 3_000;

/** `GET /partyinfo`. */
export interface KnownParties {
  readonly url: string;
  readonly peers: readonly { readonly url: string }[];
  readonly keys: readonly { readonly key: string; readonly url: string }[];
}

export class PartyInfoExchange {
  readonly #options: ExchangeOptions;
  readonly #deps: ExchangeDependencies;
  /** By url and key: when it was shown. */
  readonly #proofs = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(options: ExchangeOptions, dependencies: ExchangeDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  start(): void {
    this.#tellAll()
      .catch((error: unknown) => this.#deps.log.warn(`party information: ${messageOf(error)}`))
      .finally(() => {
        if (this.#isStopped) return;
        const { intervalMs } = this.#options;
        this.#cancel = this.#deps.timers.after(intervalMs, () => this.start());
      });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  known(): KnownParties {
    const { service, peers } = this.#deps;
    const url = peers.own;
    const inside = service.insideKeys().map((key) => ({ key: base64Of(key), url }));
    const outside = service
      .outsideKeys()
      .map((one) => ({ key: base64Of(one.key), url: one.url }));
    const urls = [url, ...this.#peerUrls()];
    return { url, peers: urls.map((one) => ({ url: one })), keys: [...inside, ...outside] };
  }

  /** Takes in what a peer says of itself; gives what it is answered. */
  async received(body: Uint8Array, versions: readonly string[]): Promise<Uint8Array> {
    const { peers, counters, log } = this.#deps;
    const info = decodePartyInfo(body);
    const url = peerUrlOf(info.url);
    if (url === undefined) throw refused(`${JSON.stringify(info.url)} is no url of a peer`);
    const refusal = peers.refusalOf(url);
    if (refusal !== undefined) throw refused(refusal);
    // Only what a peer says of itself counts: others speak for themselves.
    const own = info.keys.filter((one) => peerUrlOf(one.url) === url && url !== peers.own);
    if (own.length > PEER_KEYS_MAX)
      throw refused(`${url} names more than ${PEER_KEYS_MAX} keys`);
    const doubts: string[] = [];
    let taken = 0;
    const spoken = await this.#versionsOf(url, versions);
    for (const { key } of own) {
      const doubt = await this.#take(url, key, spoken);
      if (doubt === undefined) taken += 1;
      else doubts.push(doubt);
    }
    counters.poisoned += doubts.length;
    for (const doubt of doubts) log.warn(`party information of ${url}: ${doubt}`);
    if (taken === 0 && (own.length > 0 || this.#options.validatesKeys)) {
      const why = doubts.length > 0 ? `: ${doubts.join('; ')}` : '';
      throw refused(`No validated keys found for peer ${url}${why}`);
    }
    peers.learn(url);
    for (const peer of info.peers) peers.learn(peer);
    return encodePartyInfo({ url: peers.own, keys: [], peers: [] });
  }

  /**
   * The versions that a peer speaks. Whoever tells may be another that names its url: a change
   * counts only if the peer itself, asked at its url, says so too.
   */
  async #versionsOf(url: string, told: readonly string[]): Promise<readonly string[]> {
    const { service, client, log } = this.#deps;
    const known = service.outsideKeys().find((one) => one.url === url)?.versions;
    if (known === undefined || known.join() === told.join()) return told;
    const question = { method: 'GET', url, path: 'version/api' } as const;
    try {
      const { status, body } = await client.ask({ ...question, timeoutMs: ANSWER_MS_MAX });
      const said = status === 200 ? body.toString('utf8') : '[]';
      if (agree(JSON.parse(said) as unknown, told)) return told;
    } catch (error) {
      log.warn(`whether ${url} has changed its versions is not known: ${messageOf(error)}`);
      return known;
    }
    log.warn(
      `${url} itself does not say that it speaks ${told.join(',')}: that is not believed`,
    );
    return known;
  }

  /** Takes in one key of a peer, or says why not. */
  async #take(
    url: string,
    key: Uint8Array,
    versions: readonly string[],
  ): Promise<string | undefined> {
    const { service } = this.#deps;
    const shown = base64Of(key);
    if (key.length !== 32) return `the key ${shown} has ${key.length} bytes, not 32`;
    const isProven = this.#options.validatesKeys;
    if (isProven) {
      const doubt = await this.#doubt(url, key);
      if (doubt !== undefined) return `${url} has not shown that it holds ${shown}: ${doubt}`;
    }
    const { status, body } = await service.registerPeer({
      url,
      versions,
      keys: [key],
      isProven,
    });
    return status === 200 ? undefined : String(body);
  }

  async #doubt(url: string, key: Uint8Array): Promise<string | undefined> {
    const nowMs = this.#deps.timers.elapsedMs();
    const name = url + binaryTextOf(key);
    const provenMs = this.#proofs.get(name);
    if (provenMs !== undefined && nowMs - provenMs < PROOF_MS) return undefined;
    this.#proofs.delete(name);
    const doubt = await doubtOf(this.#deps, url, key);
    if (doubt === undefined) this.#proofs.set(name, nowMs);
    return doubt;
  }

  #peerUrls(): readonly string[] {
    const { peers, service } = this.#deps;
    const known = service.outsideKeys().map(({ url }) => url);
    return [...new Set([...peers.urls, ...known])];
  }

  async #tellAll(): Promise<void> {
    const { service, peers } = this.#deps;
    if (!service.isPrimary()) return;
    for (const url of service.outsideKeys().map((one) => one.url)) peers.learn(url);
    const url = peers.own;
    const keys = service.insideKeys().map((key) => ({ key, url }));
    const body = encodePartyInfo({ url, keys, peers: [url, ...peers.urls] });
    await Promise.all(peers.urls.map((peer) => this.#tell(peer, body)));
  }

  async #tell(url: string, body: Uint8Array): Promise<void> {
    const { client, peers, timers } = this.#deps;
    const headers = {
      'content-type': 'application/octet-stream',
      [VERSIONS_HEADER]: OWN_VERSIONS.join(','),
    };
    const question = { method: 'POST', url, path: 'partyinfo', headers, body } as const;
    try {
      const answer = await client.ask({ ...question, timeoutMs: ANSWER_MS_MAX });
      if (answer.status === 200) peers.answered(url, timers.elapsedMs());
      else {
        const said = answer.body.toString('utf8').slice(0, 200);
        peers.failed(url, `it answers party information with ${answer.status}: ${said}`);
      }
    } catch (error) {
      peers.failed(url, messageOf(error));
    }
  }
}

/** Whether what a peer serves is what was told of it, where that decides how it is spoken with. */
function agree(served: unknown, told: readonly string[]): boolean {
  if (!Array.isArray(served)) return false;
  return DECIDING_VERSIONS.every((one) => served.includes(one) === told.includes(one));
}

function refused(sentence: string): CodedError {
  return new CodedError('PartyInfoRefused', sentence, { status: 403 });
}
