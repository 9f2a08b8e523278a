/** Commander's message as one line: a suggestion stands on its second. */
export const usageLine = (message: string): string =>
  message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/s, ': did you mean $1?')
    .replace(/\s*\n\s*/g, ' ');
