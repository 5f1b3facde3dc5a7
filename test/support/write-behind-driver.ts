/**
 * The ledger driver with a planted fault: its disk acknowledges writes and syncs of the ledger at
 * once and makes them a little later, so a kill loses what was acknowledged. The kill test must
 * notice.
 */
import type { Disk } from '../../src/base/environment.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import { drive } from './ledger-driver.ts';

const DELAY_MS = 60;

const writeBehindDisk: Disk = {
  ...durableDisk,
  async open(path, mode) {
    const file = await durableDisk.open(path, mode);
    if (!path.includes('/ledger/')) return file;
    let length = await file.size();
    let done: Promise<void> = Promise.resolve();
    return {
      ...bound(file),
      async size() {
        return length;
      },
      async write(offset, bytes) {
        length = Math.max(length, offset + bytes.length);
        done = done
          .then(() => new Promise((resolve) => setTimeout(resolve, DELAY_MS)))
          .then(() => file.write(offset, bytes));
      },
      async sync() {},
    };
  },
};

function bound(file: Awaited<ReturnType<Disk['open']>>): typeof file {
  return {
    read: (offset, length) => file.read(offset, length),
    write: (offset, bytes) => file.write(offset, bytes),
    sync: () => file.sync(),
    truncate: (length) => file.truncate(length),
    size: () => file.size(),
    close: () => file.close(),
  };
}

if (import.meta.main) await drive({ disk: writeBehindDisk });
