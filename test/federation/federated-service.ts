/** A service with organisations inside, on real nodes, that speaks with doubles outside. */
import type { AppRequest, AppResponse } from '../../src/apps/interface.ts';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { type FederationOptions, unreachablePeers } from '../../src/federation/federation.ts';
import { createPeerClient } from '../../src/federation/peer-client.ts';
import type { NodeFederation } from '../../src/node/federation.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import {
  eventually,
  found,
  join,
  type Member,
  onPrimary,
  primaryOf,
} from '../support/cluster-rig.ts';
import { jsonIn, VENDOR_2_1, VENDOR_4 } from '../support/quorum-client.ts';
import { callerOfOrganisation, layOrganisations } from '../support/quorum-network.ts';
import { TesseraDouble } from './tessera-double.ts';
import { type KeyPair, newKeyPair } from './tessera-payloads.ts';

export type Sent = Readonly<Record<string, unknown>>;

export class FederatedService {
  readonly members: Member[] = [];
  readonly doubles: TesseraDouble[] = [];
  /** One for each organisation inside. */
  readonly keys: readonly KeyPair[];
  readonly #options: Partial<NodeOptions>;
  readonly #client = createPeerClient();
  readonly #application;

  private constructor(
    federation: Partial<FederationOptions>,
    more: Partial<NodeOptions>,
    keys: readonly KeyPair[],
  ) {
    this.keys = keys;
    const whole: FederationOptions = {
      server: { host: '127.0.0.1', port: 0, whitelist: [] },
      peers: [],
      discovery: true,
      validatesKeys: true,
      partyInfoMs: 50,
      send: 'queued',
      ...federation,
    };
    const unreachable = (urls: readonly string[]) =>
      unreachablePeers(this.#client, urls, (text) => this.warnings.push(text));
    this.#application = createQuorumApplication({
      random: systemRandom,
      ...(whole.send === 'strict' ? { peers: { unreachable } } : {}),
    });
    this.#options = {
      port: 0,
      applications: [this.#application],
      federation: whole,
      consensus: { messageTimeoutMs: 30, electionTimeoutMs: 300 },
      ...more,
    };
  }

  readonly warnings: string[] = [];

  static async of(
    nodes: number,
    federation: Partial<FederationOptions> = {},
    more: Partial<NodeOptions> = {},
    keys: readonly KeyPair[] = [newKeyPair(), newKeyPair()],
  ): Promise<FederatedService> {
    const service = new FederatedService(federation, more, keys);
    service.members.push(await found(service.#options));
    await onPrimary(service.members, ({ node }) =>
      node.commitService((tx) => layOrganisations(tx, service.partyKeys, 2)),
    );
    while (service.members.length < nodes) {
      service.members.push(await join(service.members, service.#options));
    }
    for (const { node } of service.members) await node.listen();
    return service;
  }

  get partyKeys() {
    return this.keys.map(({ publicKey, privateKey }, index) => ({
      node: index + 1,
      publicKey: publicKey.toString('base64'),
      privateKey: privateKey.toString('base64'),
    }));
  }

  async end(): Promise<void> {
    for (const member of this.members) await member.stop().catch(() => undefined);
    for (const double of this.doubles) await double.stop();
    this.#client.close();
  }

  /** Where peers reach a node. */
  url(member = this.members[0]): string {
    return this.federation(member).status().url;
  }

  federation(member = this.members[0]): NodeFederation {
    const federation = member?.node.federation;
    if (federation === undefined) throw new Error('this node speaks with nobody');
    return federation;
  }

  /** All that the nodes warned of. */
  get allWarnings(): string {
    return [...this.warnings, ...this.members.flatMap(({ world }) => world.warnings)].join(
      '\n',
    );
  }

  /** A Tessera node that knows this service, and is known to it. */
  async meet(
    options: ConstructorParameters<typeof TesseraDouble>[0] = {},
    member = this.members[0],
  ): Promise<TesseraDouble> {
    const double = await new TesseraDouble(options).start();
    this.doubles.push(double);
    const { status, body } = await double.tell(this.url(member));
    if (status !== 200) throw new Error(`${status} ${body.toString()}`);
    await eventually('the double told of the keys inside', () =>
      this.keys.every(({ publicKey }) => double.known.has(publicKey.toString('base64'))),
    );
    return double;
  }

  async post(path: string, body: Sent, organisation = 1): Promise<AppResponse> {
    const { node } = await primaryOf(this.members.filter(({ isStarted }) => isStarted));
    const headers = { 'content-type': VENDOR_4, accept: VENDOR_4 };
    return await this.#ask(node, 'POST', path, organisation, headers, {}, JSON.stringify(body));
  }

  /** The same for what is plain JSON alone. */
  async postJson(path: string, body: Sent, organisation = 1): Promise<AppResponse> {
    const { node } = await primaryOf(this.members);
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    return await this.#ask(node, 'POST', path, organisation, headers, {}, JSON.stringify(body));
  }

  /** Sends a payload from inside; gives its key. */
  async send(body: Sent, organisation = 1): Promise<string> {
    const payload = Buffer.from('a payload from inside').toString('base64');
    const response = await this.post('/send', { payload, ...body }, organisation);
    if (response.status !== 201) throw new Error(`${response.status} ${String(response.body)}`);
    return String(jsonIn(response).key);
  }

  async received(
    key: string,
    organisation = 1,
    member = this.members[0],
  ): Promise<AppResponse> {
    if (member === undefined) throw new Error('there is a node');
    const params = { hash: encodeURIComponent(key) };
    const headers = { accept: VENDOR_2_1 };
    return await this.#ask(
      member.node,
      'GET',
      '/transaction/{hash}',
      organisation,
      headers,
      params,
    );
  }

  outbox(member = this.members[0]): number {
    return this.federation(member).status().outbox;
  }

  async #ask(
    node: Member['node'],
    verb: 'GET' | 'POST',
    path: string,
    organisation: number,
    headers: Readonly<Record<string, string>>,
    params: AppRequest['params'],
    body = '',
  ): Promise<AppResponse> {
    const endpoint = this.#application.endpoints.find(
      (one) => one.verb === verb && one.path === `/quorum/q2t${path}`,
    );
    if (endpoint === undefined) throw new Error(`there is no ${path}`);
    const request: AppRequest = {
      ...{ verb, path: endpoint.path, params, query: '', body: Buffer.from(body) },
      header: (name) => headers[name],
      caller: callerOfOrganisation(organisation),
    };
    const options = { waitForCommit: false, linearizable: false };
    return (await node.run(endpoint, request, options)).response;
  }
}
