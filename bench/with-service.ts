/**
 * A service with settings of its own, for as long as somebody uses it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { base64Of } from '../src/base/bytes.ts';
import { generatePartyKey } from '../src/crypto/party-keys.ts';
import { systemRandom } from '../src/crypto/random.ts';
import type { CurveContext } from './growth.ts';
import { Concordat, type ConcordatOptions } from './systems/concordat.ts';

export interface WantedService {
  readonly nodes?: number;
  readonly settings?: unknown;
  /** So many of the second organisation. */
  readonly partyKeys?: number;
}

/** A service of its own, for as long as it is used. */
export async function withService<Result>(
  { newFolder, options }: Pick<CurveContext, 'newFolder' | 'options'>,
  { nodes = 1, settings, partyKeys }: WantedService,
  use: (service: Concordat) => Promise<Result>,
): Promise<Result> {
  const folder = newFolder();
  const file = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  };
  const wanted: ConcordatOptions = {
    ...{ folder: join(folder, 'sandbox'), durability: options.durability, nodes },
    ...(settings === undefined ? {} : { nodeSettings: file('settings.json', settings) }),
    ...(partyKeys === undefined ? {} : { partyKeys: file('keys.json', keysOf(partyKeys)) }),
  };
  const service = await Concordat.start(wanted);
  try {
    return await use(service);
  } finally {
    await service.stop();
  }
}

function keysOf(count: number): unknown {
  return Array.from({ length: count }, () => {
    const { publicKey, privateKey } = generatePartyKey(systemRandom);
    return { node: 2, publicKey: base64Of(publicKey), privateKey: base64Of(privateKey) };
  });
}
