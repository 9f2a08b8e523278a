/** Commander's messages as one line each. */
import { meant } from './nearest.js';

/** What commander says of a value that is none of the choices: of an argument, or of an option. */
const CHOICE =
  /^(?:command-argument value '(.*)' is invalid for argument '(.*)'|option '(.*)' argument '(.*)' is invalid)\. Allowed choices are (.*)\.$/s;

export function usageLine(message: string): string {
  const text = message.replace(/^error: /, '');
  const choice = CHOICE.exec(text);
  if (choice !== null) {
    const [, value, argument, option, given, list] = choice;
    const names = list.split(', ');
    const known = `it is one of ${list}`;
    return argument === undefined
      ? `option '${option}': no '${given}': ${meant(given, names, known)}`
      : `no ${argument.toUpperCase()} '${value}': ${meant(value, names, known)}`;
  }
  // A suggestion stands on the second line.
  return text.replace(/\n\(Did you mean (.*)\?\)$/s, ': did you mean $1?').replace(/\s*\n\s*/g, ' ');
}
