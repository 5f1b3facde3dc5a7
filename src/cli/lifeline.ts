/**
 * The launcher's end is this program's end. A pipe from the launcher closes when it dies; killed
 * without warning, it could not pass the signal on, so the program then kills itself just as hard.
 */
import { Socket } from 'node:net';

/** Watches the launcher's pipe, if this very process was started by the launcher. */
export function holdLifeline(): void {
  // Who is started by a program that the launcher started inherits these words, but not the pipe.
  const [launcher, descriptor] = (process.env.CONCORDAT_LIFELINE ?? '').split(' ');
  delete process.env.CONCORDAT_LIFELINE;
  if (descriptor === undefined || Number(launcher) !== process.ppid) return;
  const pipe = new Socket({ fd: Number(descriptor), readable: true, writable: false });
  const die = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  pipe.on('end', die).on('error', die).resume().unref();
}
