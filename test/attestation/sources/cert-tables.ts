// A host's table of certificates, as the kernel hands it to a guest.

const GUIDS = {
  VCEK: '63da758d-e664-4564-adc5-f4b93be8accd',
  VLEK: 'a8074bc2-a25a-483e-aae6-39c045a0b8a1',
  ASK: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  ARK: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
  CRL: '92f81bc3-5811-4d3d-97ff-d19f88dc67ea',
} as const;

export function certTable(
  certificates: Readonly<Partial<Record<keyof typeof GUIDS, Uint8Array>>>,
): Uint8Array {
  const names = Object.keys(GUIDS).filter((name) => name in certificates);
  const rows: Buffer[] = [];
  const contents: Uint8Array[] = [];
  let offset = (names.length + 1) * 24;
  for (const [name, content] of Object.entries(certificates)) {
    const row = Buffer.alloc(24);
    const guid = GUIDS[name as keyof typeof GUIDS];
    Buffer.from(guid.replaceAll('-', ''), 'hex').copy(row);
    row.writeUInt32LE(offset, 16);
    row.writeUInt32LE(content.length, 20);
    rows.push(row);
    contents.push(content);
    offset += content.length;
  }
  return Buffer.concat([...rows, Buffer.alloc(24), ...contents]);
}
