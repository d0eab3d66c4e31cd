/** Name and version of the array with which an exported .npz describes its model, as JSON in UTF-8. Names only; any thread. */
export const FACTS = 'gradloom'
export const FACTS_VERSION = 1
