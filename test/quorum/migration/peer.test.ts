/** A Tessera node asked for its payloads: one by one, all pushed, in batches; and its faults. */
import { afterEach, describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import { askedFor, hashesIn, takePushes } from '../../../src/cli/quorum/import-sources.ts';
import { Importer, type Sourced } from '../../../src/cli/quorum/importer.ts';
import { startReceivingPeer } from '../../../src/cli/quorum/receiving-peer.ts';
import { TesseraPeer } from '../../../src/cli/quorum/tessera-peer.ts';
import type { Transfer } from '../../../src/cli/quorum/transfer-body.ts';
import { endorsedCertificate, serviceCertificate } from '../../../src/crypto/certificates.ts';
import { SigningKey } from '../../../src/crypto/keys.ts';
import { QuorumClient, transactionPath } from '../../support/quorum-client.ts';
import { type PartyKeyPair, quorumInMemory } from '../../support/quorum-network.ts';
import { type PeerIdentity, ResendingTessera } from './resending-tessera.ts';
import { noJournal, ServiceInMemory } from './service-in-memory.ts';
import {
  bytesOf,
  realKeys,
  type SealedByTessera,
  sealedByTessera,
} from './tessera-payloads.ts';

const running: ResendingTessera[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
});

async function tessera(held: readonly SealedByTessera[], versions?: readonly string[]) {
  const started = await new ResendingTessera(held, versions).start();
  running.push(started);
  return started;
}

const peerAt = ({ url }: ResendingTessera, signal = new AbortController().signal) =>
  new TesseraPeer({ url, signal });

type Keys = [PartyKeyPair, PartyKeyPair, PartyKeyPair];

function network() {
  const keys = realKeys(3) as Keys;
  const runtime = quorumInMemory(keys, 3);
  const service = new ServiceInMemory(runtime, 1);
  const importer = new Importer(service, noJournal(), () => undefined);
  const client = new QuorumClient(runtime, 1);
  const own = [bytesOf(keys[0].publicKey)];
  const sees = (sealed: SealedByTessera) =>
    client.get(transactionPath(sealed.hash.toString('base64'))).status;
  return { keys, runtime, service, importer, own, sees };
}

/** Sent by the first, to the first, and between others. */
function heldBy([one, two, three]: Keys): readonly SealedByTessera[] {
  return [
    ...[1, 2, 3].map((n) => sealedByTessera({ from: one, to: [two], payload: `sent ${n}` })),
    ...[1, 2, 3].map((n) => sealedByTessera({ from: two, to: [one, three], payload: `${n}` })),
    sealedByTessera({ from: two, to: [three], payload: 'of others' }),
  ];
}

const listening = { address: { host: '127.0.0.1', port: 0 } };

/** A port that is free now: what is told to the peer must be known before listening. */
async function freeAddress() {
  const probe = await tessera([]);
  const { port } = new URL(probe.url);
  await probe.stop();
  return {
    address: { host: '127.0.0.1', port: Number(port) },
    url: `http://127.0.0.1:${port}/`,
  };
}

describe('all payloads of a key', () => {
  test.each([
    ['in CBOR', undefined, undefined],
    ['in the legacy encoding', ['2.1', '3.0', 'v1'], undefined],
    ['in batches of two', undefined, 2],
    ['in one batch', undefined, 100],
  ])(
    'are pushed %s and stored, with their sender’s boxes',
    async (_how, versions, batchSize) => {
      const { keys, service, importer, own, sees } = network();
      const held = heldBy(keys);
      const peer = await tessera(held, versions);
      const options = {
        ...(await freeAddress()),
        ...(batchSize === undefined ? {} : { batchSize }),
      };
      await takePushes(peerAt(peer), service, importer, own, options);
      expect(importer.counts).toMatchObject({ read: 6, stored: 6, refused: 0 });
      expect(held.map(sees)).toEqual([200, 200, 200, 200, 200, 200, 404]);
      expect(peer.asked[0]).toBe('/partyinfo');
    },
  );

  test('are all there after the peer has broken off at any push, and was asked again', async () => {
    for (let at = 0; at < 6; at += 1) {
      const { keys, service, importer, own, sees } = network();
      const held = heldBy(keys);
      const peer = await tessera(held);
      peer.diesAtPush = at;
      const first = takePushes(peerAt(peer), service, importer, own, await freeAddress());
      await expect(first).rejects.toMatchObject({ code: 'PeerRefused' });
      expect(importer.counts.stored).toBe(at);
      await takePushes(peerAt(peer), service, importer, own, await freeAddress());
      expect(held.map(sees)).toEqual([200, 200, 200, 200, 200, 200, 404]);
    }
  });

  test('the peer is told when the service is away, and so is the operator', async () => {
    const { keys, service, importer, own, sees } = network();
    const held = heldBy(keys);
    const peer = await tessera(held);
    service.failsAt = 2;
    const first = takePushes(peerAt(peer), service, importer, own, await freeAddress());
    await expect(first).rejects.toMatchObject({ code: 'ServiceUnreachable' });
    await takePushes(peerAt(peer), service, importer, own, await freeAddress());
    expect(held.map(sees)).toEqual([200, 200, 200, 200, 200, 200, 404]);
  });

  test('are not pushed to who cannot show the key', async () => {
    const { keys, service, importer } = network();
    const peer = await tessera(heldBy(keys));
    const foreign = [bytesOf(keys[1].publicKey)];
    const taking = takePushes(peerAt(peer), service, importer, foreign, await freeAddress());
    await expect(taking).rejects.toThrow('is not held there');
    expect(importer.counts.read).toBe(0);
  });

  test('what is pushed for others is refused by name and does not end it', async () => {
    const { keys, service, importer, own } = network();
    const others = sealedByTessera({ from: keys[1], to: [keys[2]] });
    // A peer that mislabels: the box is for another than it says.
    const mislabelled: SealedByTessera = {
      ...others,
      whole: { ...others.whole, recipientKeys: [own[0] ?? Buffer.alloc(0)] },
      for: others.for,
    };
    const good = sealedByTessera({ from: keys[1], to: [keys[0]] });
    const peer = await tessera([mislabelled, good]);
    await takePushes(peerAt(peer), service, importer, own, await freeAddress());
    expect(importer.counts).toMatchObject({ stored: 1, refused: 1 });
    expect(importer.notMoved[0]).toMatchObject({
      name: others.hash.toString('base64'),
      why: expect.stringContaining("none of the caller's keys"),
    });
  });

  test('a taken port is said', async () => {
    const { service, importer, own } = network();
    const peer = await tessera([]);
    const { port } = new URL(peer.url);
    const options = {
      ...listening,
      address: { host: '127.0.0.1', port: Number(port) },
      url: 'x',
    };
    await expect(takePushes(peerAt(peer), service, importer, own, options)).rejects.toThrow(
      'EADDRINUSE',
    );
  });
});

describe('payloads by their hashes', () => {
  test('are answered one by one; what is not the organisation’s is left out', async () => {
    const { keys, importer, own, sees } = network();
    const held = heldBy(keys);
    const peer = await tessera(held);
    const unknown = Buffer.alloc(64, 7);
    const hashes = [...held.map(({ hash }) => hash), unknown];
    await importer.takeAll(askedFor(peerAt(peer), hashes, own), 4);
    expect(importer.counts).toMatchObject({ read: 8, stored: 6, skipped: 2, refused: 0 });
    expect(held.map(sees)).toEqual([200, 200, 200, 200, 200, 200, 404]);
    expect(importer.notMoved.map(({ name }) => name)).toContain(unknown.toString('base64'));
  });

  test('another payload in the place of the one asked for is refused by name', async () => {
    const { keys, importer, own } = network();
    const [asked, other] = heldBy(keys) as [SealedByTessera, SealedByTessera];
    const peer = await tessera([asked]);
    peer.answersWith = other;
    await importer.takeAll(askedFor(peerAt(peer), [asked.hash], own), 1);
    const [refused] = importer.notMoved;
    expect(refused?.why).toContain(`hash ${asked.hash.toString('base64')} is not that of its`);
  });

  test('a peer that is away ends it with its address', async () => {
    const { importer, own } = network();
    const peer = await tessera([]);
    const asking = peerAt(peer);
    await peer.stop();
    await expect(
      importer.takeAll(askedFor(asking, [Buffer.alloc(64)], own), 1),
    ).rejects.toMatchObject({ code: 'PeerUnreachable' });
  });

  test('are read from a file, in both of their forms', () => {
    const hash = Buffer.alloc(64, 0xab);
    const text = `# of block 7\n${hash.toString('base64')}\n\n0x${hash.toString('hex')}\n`;
    expect(hashesIn(text, 'hashes')).toEqual([hash, hash]);
    expect(() => hashesIn(`${text}0x12\n`, 'hashes')).toThrow('line 5 of hashes is "0x12"');
    expect(() => hashesIn('nonsense', 'hashes')).toThrow(CodedError);
  });
});

describe('over TLS', () => {
  const validity = { fromMs: Date.now() - 60_000, days: 1 };

  async function authority() {
    const own = SigningKey.generate('P-384');
    const ca = await serviceCertificate(own, 'CN=Consortium', validity);
    const issue = async (): Promise<PeerIdentity> => {
      const key = SigningKey.generate('P-256');
      const issuer = { key: own, certificatePem: ca };
      const hosts = ['127.0.0.1'];
      const der = key.publicKeyDer;
      const cert = await endorsedCertificate(der, 'CN=Peer', hosts, validity, issuer);
      return { cert, key: key.privateKeyPem(), ca };
    };
    return { ca, issue };
  }

  test('both sides show certificates of one authority', async () => {
    const { keys, service, importer, own } = network();
    const consortium = await authority();
    const [mine, theirs] = [await consortium.issue(), await consortium.issue()];
    const started = new ResendingTessera(heldBy(keys));
    started.identity = theirs;
    running.push(await started.start());
    const signal = new AbortController().signal;
    const tls = { trusted: consortium.ca, certificate: mine.cert, key: mine.key };
    const free = await freeAddress();
    const url = free.url.replace('http:', 'https:');
    const peer = new TesseraPeer({ url: started.url, signal, tls });
    await takePushes(peer, service, importer, own, { ...free, url, tls });
    expect(importer.counts).toMatchObject({ stored: 6, refused: 0 });

    // A peer of another authority is not spoken with, and one without a certificate not heard.
    const other = { ...tls, trusted: (await authority()).ca };
    const distrusting = new TesseraPeer({ url: started.url, signal, tls: other });
    await expect(distrusting.announce(url, [])).rejects.toMatchObject({
      code: 'PeerUnreachable',
    });
    const bare = new TesseraPeer({ url: started.url, signal, tls: { trusted: consortium.ca } });
    await expect(bare.announce(url, [])).rejects.toMatchObject({ code: 'PeerUnreachable' });
  });

  test('nothing is taken from who shows no certificate of it', async () => {
    const { service, importer } = network();
    const [consortium, strangers] = [await authority(), await authority()];
    const mine = await consortium.issue();
    const tls = { certificate: mine.cert, key: mine.key, trusted: consortium.ca };
    const receiving = await startReceivingPeer(
      { ...listening, url: 'https://127.0.0.1/', tls },
      { open: (sealed) => service.open(sealed), take: (one) => importer.take(wrap(one)) },
    );
    const url = `https://127.0.0.1:${receiving.port}/`;
    const { cert, key } = await strangers.issue();
    const foreign = { trusted: consortium.ca, certificate: cert, key };
    const signal = new AbortController().signal;
    const stranger = new TesseraPeer({ url, signal, tls: foreign });
    await expect(stranger.announce(url, [])).rejects.toMatchObject({ code: 'PeerUnreachable' });
    const known = new TesseraPeer({ url, signal, tls: { ...tls } });
    await known.announce(url, []);
    await receiving.close();
  });
});

const wrap = (transfer: Transfer): Sourced => ({ kind: 'transfer', transfer });

test('stopping ends a question that is never answered', async () => {
  const { keys } = network();
  const peer = await tessera(heldBy(keys));
  const stop = new AbortController();
  const asking = peerAt(peer, stop.signal).announce('http://127.0.0.1:1/', []);
  stop.abort();
  await expect(asking).rejects.toMatchObject({ code: 'Stopped' });
});
