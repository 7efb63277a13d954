import pico from 'picocolors';
import type { JobView, ParticipantView } from '../../protocol/views.ts';
import { readableBytes, wantsColour } from '../output.ts';
import { displayWidth } from '../table.ts';
import { untakenText } from '../update-text.ts';
import { describeChange } from '../watch-job.ts';

/** The stream that progress goes to: a terminal, a pipe or a file. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

type Colours = ReturnType<typeof pico.createColors>;

const BAR_CELLS = 24;
const ESCAPE = String.fromCharCode(27);

/**
 * Shows a job while it runs. On a terminal the display is redrawn in place: round, phase, a line per site with its
 * state, loss, AUC and accepted bytes, and the bytes received in all. Elsewhere (a pipe, a file, TERM=dumb) each change of round, phase or
 * site state becomes one plain line. NO_COLOR and FORCE_COLOR are honoured either way.
 */
export class ProgressDisplay {
  readonly #stream: ProgressStream;
  readonly #live: boolean;
  readonly #colours: Colours;
  #before: JobView | undefined;
  #drawn = 0;

  constructor(stream: ProgressStream, environment: Readonly<Record<string, string | undefined>>) {
    this.#stream = stream;
    this.#live = stream.isTTY === true && environment.TERM !== 'dumb';
    this.#colours = pico.createColors(wantsColour(stream, environment));
  }

  /** Says something that is no view of the job; it stays above the display. */
  say(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
    if (this.#live && this.#before) this.#draw(this.#before);
  }

  /** Shows the job as it is now. */
  show(job: JobView): void {
    if (this.#live) {
      this.#clear();
      // Between rounds, and once it has ended, a job has no participants: those of the last round stay in sight.
      const participants =
        job.participants.length > 0 ? job.participants : (this.#before?.participants ?? []);
      const shown = { ...job, participants: job.state === 'finished' ? settled(participants) : participants };
      this.#draw(shown);
      this.#before = shown;
      return;
    }
    for (const line of describeChange(this.#before, job)) {
      this.#stream.write(`${this.#painted(printable(line))}\n`);
    }
    this.#before = job;
  }

  /** Leaves what is drawn where it is; later texts follow below. */
  end(): void {
    this.#drawn = 0;
    this.#before = undefined;
  }

  #clear(): void {
    if (this.#drawn > 0) this.#stream.write(`${ESCAPE}[${this.#drawn}A${ESCAPE}[0J`);
    this.#drawn = 0;
  }

  #draw(job: JobView): void {
    const lines = renderProgress(job, this.#colours).map((line) => fitted(line, this.#stream.columns || 80));
    this.#stream.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawn = lines.length;
  }

  #painted(line: string): string {
    const { red, green, dim } = this.#colours;
    if (/: \S+ (?:declined|failed): |: failed\b/.test(line)) return red(line);
    if (/ committed as version |: finished/.test(line)) return green(line);
    return dim(line);
  }
}

/** The lines of a live display, without line breaks. */
export function renderProgress(job: JobView, colours: Colours): readonly string[] {
  const { bold, dim, cyan, red } = colours;
  const past = job.history;
  const received = past.flatMap((round) => round.contributors).reduce((sum, one) => sum + one.bytes, 0);
  const done = job.rounds === 0 ? 1 : past.length / job.rounds;
  const attempt = job.attempt > 1 ? `, attempt ${job.attempt}` : '';
  const head = [
    bold(job.job),
    job.round === 0 && job.state === 'running'
      ? 'statistics round'
      : `round ${job.round}/${job.rounds}${attempt}`,
    cyan(job.state === 'running' ? job.phase : job.state),
  ];
  const width = Math.max(...job.participants.map((one) => displayWidth(one.site)), 4);
  return [
    `${head.join('  ')}  ${bar(done, colours)} ${String(Math.round(100 * done)).padStart(3)} %`,
    ...job.participants.map((one) => siteLine(job, one, width, colours)),
    dim(`  ${readableBytes(received)} received · ${job.acceptedUpdates} updates accepted · `) +
      (job.refusedUpdates > 0 ? red : dim)(untakenText(job)),
  ];
}

function siteLine(job: JobView, one: ParticipantView, width: number, colours: Colours): string {
  const { green, red, yellow, cyan, dim } = colours;
  const name = one.site + ' '.repeat(width - displayWidth(one.site));
  const [sign, paint] = !one.online
    ? (['○', yellow] as const)
    : one.state === 'done'
      ? (['✓', green] as const)
      : one.state === 'declined' || one.state === 'failed'
        ? (['✗', red] as const)
        : (['●', cyan] as const);
  const share =
    one.fraction === null || one.state !== 'working' ? '' : ` ${Math.round(100 * one.fraction)} %`;
  const doing = one.online
    ? `${one.state === 'working' ? (one.phase ?? 'working') : one.state}${share}`
    : 'away';
  const last = job.history.at(-1);
  const loss = one.loss ?? last?.contributors.find(({ site }) => site === one.site)?.metrics.loss;
  const auc = job.history
    .findLast((round) => round.evaluations.some(({ site }) => site === one.site))
    ?.evaluations.find(({ site }) => site === one.site)?.metrics.auc;
  const figures = [
    `loss ${loss === undefined ? '-'.padEnd(6) : loss.toFixed(4)}`,
    `AUC ${auc === undefined ? '-'.padEnd(5) : auc.toFixed(3)}`,
    readableBytes(acceptedBytes(job, one.site)),
  ];
  const reason = one.reason === null ? '' : ` ${red(printable(one.reason))}`;
  return `  ${paint(sign)} ${name}  ${paint(doing.padEnd(17))}  ${dim(figures.join('  '))}${reason}`;
}

/** The last round's participants in a job that is done: nobody works any more. */
function settled(participants: readonly ParticipantView[]): readonly ParticipantView[] {
  return participants.map((one) =>
    one.state === 'working' || one.state === 'assigned' ? { ...one, state: 'done' } : one,
  );
}

/** Bytes of a site's updates in committed rounds. */
function acceptedBytes({ history }: JobView, site: string): number {
  return history
    .flatMap((round) => round.contributors)
    .reduce((sum, one) => (one.site === site ? sum + one.bytes : sum), 0);
}

function bar(share: number, { green, dim }: Colours): string {
  const full = Math.round(Math.min(Math.max(share, 0), 1) * BAR_CELLS);
  return green('█'.repeat(full)) + dim('░'.repeat(BAR_CELLS - full));
}

/** A text without control characters: reasons come from sites, and a terminal obeys what it is sent. */
function printable(text: string): string {
  const isControl = (point: number) => point < 0x20 || (point >= 0x7f && point < 0xa0);
  return [...text].map((character) => (isControl(character.codePointAt(0)!) ? ' ' : character)).join('');
}

/** Cuts a line to the terminal's width, so that a redraw counts lines right; colours are kept and closed. */
function fitted(line: string, columns: number): string {
  if (displayWidth(line) < columns) return line;
  const pieces = line.split(new RegExp(`(${ESCAPE}\\[[0-9;]*m)`));
  let left = columns - 2;
  let text = '';
  for (const piece of pieces) {
    if (piece.startsWith(ESCAPE)) {
      text += piece;
      continue;
    }
    for (const character of piece) {
      left -= displayWidth(character);
      if (left >= 0) text += character;
    }
  }
  return `${text}…`;
}
