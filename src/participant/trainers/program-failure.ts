import { ConsiliumError, type Problem } from '../../errors/problem.ts';

/** TRAINER_FAILED of a program of the site, with where the site keeps what the program said. */
export class ProgramFailure extends ConsiliumError {
  /** Path of the kept output: for the site's own log, never for what leaves the site. */
  readonly output: string;

  constructor(occurrence: Problem, output: string, cause: unknown) {
    super(occurrence, { cause });
    this.output = output;
  }
}
