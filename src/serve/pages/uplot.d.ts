/** Types of uPlot, which the server delivers under this name; see assets.ts. */
export { default } from 'uplot'
