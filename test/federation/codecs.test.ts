/**
 * Stories of the codecs: what real nodes said to each other is read and written again byte for
 * byte, opens with the recorded keys, and spoilt bytes are refused with a sentence.
 */
import { describe, expect, test } from 'vitest';
import { sha3_512 } from '../../src/crypto/hash.ts';
import { boxSecretOf, openPayload, payloadKeyOf } from '../../src/crypto/payload.ts';
import {
  decodePushed,
  encodeFor,
  OWN_VERSIONS,
  unsupported,
  VERSIONS_HEADER,
  versionsOf,
} from '../../src/federation/api-versions.ts';
import { decodeCbor, encodeCbor } from '../../src/federation/cbor-codec.ts';
import { type EncodedPayload, forRecipient } from '../../src/federation/encoded-payload.ts';
import { decodeLegacy, encodeLegacy } from '../../src/federation/legacy-codec.ts';
import {
  decodePartyInfo,
  encodePartyInfo,
  peerUrlOf,
} from '../../src/federation/party-info.ts';
import { decodePrivacyGroup, encodePrivacyGroup } from '../../src/federation/privacy-group.ts';
import {
  readPushBatch,
  readResend,
  readResendBatch,
  writePushBatch,
  writeResend,
} from '../../src/federation/resend-requests.ts';
import {
  headerIn,
  recordedBodies,
  recordedExchanges,
  recordedPartyKeys,
  type StoredExchange,
} from './recordings.ts';

const pushes = recordedExchanges().filter(
  ({ request, response }) => request.path === '/push' && response.status === 201,
);
const privateKeys = new Map(
  recordedPartyKeys().map(({ publicKey, privateKey }) => [
    publicKey,
    Buffer.from(privateKey, 'base64'),
  ]),
);

function bodyOf({ request }: StoredExchange): Buffer {
  return Buffer.from(request.body, 'base64');
}

function versionsIn({ request }: StoredExchange): readonly string[] {
  return versionsOf(headerIn(request, VERSIONS_HEADER));
}

/** Opens a pushed payload as its recipient does. */
function opened(payload: EncodedPayload): { masterKey: Uint8Array; payload: Uint8Array } {
  const [recipient = Buffer.alloc(0)] = payload.recipientKeys;
  const [box = Buffer.alloc(0)] = payload.recipientBoxes;
  const own = privateKeys.get(Buffer.from(recipient).toString('base64'));
  const secret = own === undefined ? undefined : boxSecretOf(own, payload.senderKey);
  const masterKey = openPayload(secret ?? Buffer.alloc(0), payload.recipientNonce, box);
  if (masterKey === undefined) throw new Error('the box does not open');
  const text = openPayload(masterKey, payload.cipherTextNonce, payload.cipherText);
  if (text === undefined) throw new Error('the payload does not open');
  return { masterKey, payload: text };
}

describe('recorded pushes', () => {
  test('there are many, of every privacy flag', () => {
    const flags = pushes.map(
      (push) => decodePushed(bodyOf(push), versionsIn(push)).privacyFlag,
    );
    expect(pushes.length).toBeGreaterThan(90);
    expect(new Set(flags)).toEqual(new Set([0, 1, 2, 3]));
  });

  test('are read and written again byte for byte', () => {
    for (const push of pushes) {
      const payload = decodePushed(bodyOf(push), versionsIn(push));
      const { body } = encodeFor(payload, versionsIn(push));
      expect(Buffer.from(body).equals(bodyOf(push))).toBe(true);
    }
  });

  test('open with the recorded keys, and their answer is SHA3-512 of the ciphertext', () => {
    for (const push of pushes) {
      const payload = decodePushed(bodyOf(push), versionsIn(push));
      expect(opened(payload).payload.length).toBeGreaterThan(0);
      const answered = Buffer.from(push.response.body, 'base64').toString();
      expect(payloadKeyOf(payload.cipherText).toString('base64')).toBe(answered);
    }
  });

  test('show affected transactions by SHA3-512 of both ciphertexts and the master key', () => {
    const known = new Map(
      pushes.map((push) => {
        const payload = decodePushed(bodyOf(push), versionsIn(push));
        const key = payloadKeyOf(payload.cipherText).toString('base64');
        return [key, { payload, masterKey: opened(payload).masterKey }];
      }),
    );
    let checked = 0;
    for (const { payload } of known.values()) {
      for (const { hash, securityHash } of payload.affected) {
        const affected = known.get(Buffer.from(hash).toString('base64'));
        if (affected === undefined) continue;
        const parts = [payload.cipherText, affected.payload.cipherText, affected.masterKey];
        expect(sha3_512(Buffer.concat(parts)).equals(Buffer.from(securityHash))).toBe(true);
        checked += 1;
      }
    }
    expect(checked).toBeGreaterThan(3);
  });

  test('say the same in the legacy encoding as in CBOR', () => {
    for (const push of pushes) {
      const payload = decodePushed(bodyOf(push), versionsIn(push));
      expect(encodeCbor(decodeLegacy(encodeLegacy(payload)))).toEqual(encodeCbor(payload));
    }
  });
});

describe('the legacy encoding', () => {
  const resent = recordedExchanges().filter(
    ({ request, response }) =>
      request.path === '/resend' && response.status === 200 && response.body.length > 300,
  );

  test('of what was resent is read and written again byte for byte', () => {
    expect(resent.length).toBeGreaterThan(0);
    for (const { response } of resent) {
      const bytes = Buffer.from(response.body, 'base64');
      const payload = decodeLegacy(bytes);
      expect(Buffer.from(encodeLegacy(payload)).equals(bytes)).toBe(true);
      expect(opened(payload).payload.length).toBeGreaterThan(0);
    }
  });

  test('of older peers ends before the recipients, or before the flag', () => {
    const bytes = Buffer.from(resent[0]?.response.body ?? '', 'base64');
    const whole = decodeLegacy(bytes);
    const withoutFlag = bytes.subarray(0, bytes.length - 17);
    expect(decodeLegacy(withoutFlag)).toEqual(whole);
    const withoutRecipients = bytes.subarray(0, bytes.length - 17 - 48);
    expect(decodeLegacy(withoutRecipients)).toEqual({ ...whole, recipientKeys: [] });
  });

  test('carries batches', () => {
    const [body = Buffer.alloc(0)] = recordedBodies('/pushBatch', 404).filter(
      (bytes) => bytes.length > 100,
    );
    const payloads = readPushBatch(body);
    expect(payloads).toHaveLength(2);
    expect(writePushBatch(payloads)).toBe(body.toString());
  });
});

describe('party information', () => {
  test('is read and written again byte for byte', () => {
    const bodies = recordedBodies('/partyinfo', 200).filter(({ length }) => length > 0);
    expect(bodies.length).toBeGreaterThan(10);
    for (const body of bodies) {
      expect(Buffer.from(encodePartyInfo(decodePartyInfo(body))).equals(body)).toBe(true);
    }
  });

  test('is answered with an url and nothing else', () => {
    const answers = recordedExchanges().filter(
      ({ request: { method, path }, response }) =>
        method === 'POST' && path === '/partyinfo' && response.status === 200,
    );
    for (const { response, peer } of answers) {
      const said = decodePartyInfo(Buffer.from(response.body, 'base64'));
      expect(said).toEqual({ url: `http://127.0.0.1:930${peer}/`, keys: [], peers: [] });
    }
  });

  test.each([
    ['http://127.0.0.1:9301/', 'http://127.0.0.1:9301/'],
    ['http://Peer.Example:80', 'http://peer.example/'],
    ['https://peer.example/tessera', 'https://peer.example/tessera/'],
    ['ftp://peer.example/', undefined],
    ['http://user:secret@peer.example/', undefined],
    ['peer.example:9000', undefined],
    ['', undefined],
  ])('takes the url %j for %j', (given, meant) => {
    expect(peerUrlOf(given)).toBe(meant);
  });
});

test('recorded privacy groups are read and written again byte for byte', () => {
  const bodies = recordedBodies('/pushPrivacyGroup', 200);
  expect(bodies.length).toBe(5);
  for (const body of bodies) {
    expect(Buffer.from(encodePrivacyGroup(decodePrivacyGroup(body))).equals(body)).toBe(true);
  }
});

describe('requests to resend', () => {
  test('are read and written again', () => {
    const bodies = recordedBodies('/resend', 200);
    for (const body of bodies) expect(writeResend(readResend(body))).toBe(body.toString());
  });

  test.each([
    ['{"type":"X","publicKey":"AAAA"}', 'must match "^(ALL|INDIVIDUAL)$"'],
    ['{"type":"ALL"}', 'a public key is required'],
    ['{"type":"ALL","publicKey":"*"}', 'publicKey is not base64'],
    ['{"type":"INDIVIDUAL","publicKey":"AAAA"}', 'Transaction hash is required'],
    ['[', 'the body is no JSON object'],
  ])('are refused when they say %s', (body, sentence) => {
    expect(() => readResend(Buffer.from(body))).toThrow(sentence);
  });

  test.each(['{"publicKey":"AAAA"}', '{"publicKey":"AAAA","batchSize":0}'])(
    'for batches are refused without a size: %s',
    (body) => {
      expect(() => readResendBatch(Buffer.from(body))).toThrow('whole number from 1');
    },
  );
});

describe('versions', () => {
  test('choose the codec, and what is sent beside a legacy body does not say 5.0', () => {
    const [push] = pushes;
    if (push === undefined) throw new Error('no push was recorded');
    const payload = decodePushed(bodyOf(push), OWN_VERSIONS);
    const old = encodeFor(payload, ['2.1']);
    expect(versionsOf(old.header)).not.toContain('5.0');
    expect(encodeCbor(decodePushed(old.body, versionsOf(old.header)))).toEqual(
      encodeCbor(payload),
    );
    expect(() => decodePushed(old.body, OWN_VERSIONS)).toThrow('Invalid payload data');
    expect(() => decodePushed(bodyOf(push), ['2.1'])).toThrow('in the legacy encoding');
  });

  test.each([
    [0, ['v1'], undefined],
    [1, ['v1'], 'enhanced privacy'],
    [1, ['v2'], undefined],
    [2, ['v2', '3.0'], 'mandatory recipients'],
    [2, ['4.0'], undefined],
    [3, [], 'enhanced privacy'],
  ] as const)('flag %d to a peer of %j: %s', (privacyFlag, versions, why) => {
    const said = unsupported({ privacyFlag }, versions);
    if (why === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(why);
  });
});

describe('what one recipient is sent of a payload', () => {
  const keys = [1, 2, 3].map((digit) => Buffer.alloc(32, digit));
  const payload: EncodedPayload = {
    senderKey: Buffer.alloc(32, 3),
    cipherText: Buffer.from('sealed'),
    cipherTextNonce: Buffer.alloc(24),
    recipientBoxes: keys.map((key) => key.subarray(0, 4)),
    recipientNonce: Buffer.alloc(24),
    recipientKeys: keys,
    privacyFlag: 0,
    affected: [],
    execHash: Buffer.alloc(0),
    mandatory: [],
    privacyGroupId: Buffer.alloc(0),
  };

  test('is its own box and its own key', () => {
    const own = forRecipient(payload, Buffer.alloc(32, 2));
    expect([own.recipientKeys, own.recipientBoxes]).toEqual([[keys[1]], [Buffer.alloc(4, 2)]]);
  });

  test('names all under private state validation, its own key first', () => {
    const own = forRecipient({ ...payload, privacyFlag: 3 }, Buffer.alloc(32, 2));
    expect(own.recipientKeys).toEqual([keys[1], keys[0], keys[2]]);
    expect(own.recipientBoxes).toHaveLength(1);
  });

  test('is nothing for others', () => {
    expect(() => forRecipient(payload, Buffer.alloc(32, 9))).toThrow('is not a recipient');
  });
});

describe('spoilt bytes', () => {
  const [push = Buffer.alloc(0)] = pushes.map(bodyOf);
  const legacy = Buffer.from(encodeLegacy(decodeCbor(push)));
  const [info = Buffer.alloc(0)] = recordedBodies('/partyinfo', 200).filter(
    (b) => b.length > 0,
  );

  test.each([
    ['CBOR', push, decodeCbor],
    ['the legacy encoding', legacy, decodeLegacy],
    ['party information', info, decodePartyInfo],
  ] as const)('of %s are refused wherever they are cut', (_, bytes, decode) => {
    // Older peers' payloads are the beginnings of newer ones, and those are no damage.
    const whole = new Set([bytes.length - 17, bytes.length - 17 - 48]);
    for (let length = 0; length < bytes.length; length += 1) {
      if (decode === decodeLegacy && whole.has(length)) continue;
      expect(() => decode(bytes.subarray(0, length))).toThrow(
        /^(Invalid payload|a payload|party)/,
      );
    }
  });

  test('that count or measure more than there is are refused before memory is taken', () => {
    const huge = Buffer.from(info);
    huge.writeUInt32BE(0x7fff_ffff, 0);
    expect(() => decodePartyInfo(huge)).toThrow('are left');
    const many = Buffer.concat([Buffer.alloc(8), Buffer.from('7fffffffffffffff', 'hex')]);
    expect(() => decodePartyInfo(many)).toThrow('there is room for 0');
  });
});
