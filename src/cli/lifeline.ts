/**
 * The launcher's end is this program's end. A pipe from the launcher closes when it dies; killed
 * without warning, it could not pass the signal on, so the program then kills itself just as hard.
 */
import { Socket } from 'node:net';

/** Watches the launcher's pipe, if the program was started by the launcher. */
export function holdLifeline(): void {
  const descriptor = Number(process.env['CONCORDAT_LIFELINE']);
  delete process.env['CONCORDAT_LIFELINE'];
  if (!Number.isInteger(descriptor) || descriptor < 3) return;
  const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
  const die = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  pipe.on('end', die).on('error', die).resume().unref();
}
