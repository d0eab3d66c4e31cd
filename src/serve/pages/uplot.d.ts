/** uPlot, which the server puts in this place; see assets.ts. */
export { default } from 'uplot'
