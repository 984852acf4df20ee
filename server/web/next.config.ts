import type { NextConfig } from "next";

// Set by scripts/offline.mjs: the folder, as seen from the page, of what analyses in place of a server.
const { OFFLINE } = process.env;

const config: NextConfig = {
  output: "export",
  // scripts/place.mjs takes it away: what is left are addresses relative to the page, wherever a proxy puts it.
  assetPrefix: "https://relative.invalid",
  // The same sources give the same files.
  generateBuildId: () => "vesselrt",
  // scripts/place.mjs reads in them what is bundled; they are not shipped.
  productionBrowserSourceMaps: true,
  // `npm run check` does it; whoever only runs the server need not wait for it.
  typescript: { ignoreBuildErrors: true },
  ...(OFFLINE && {
    env: { OFFLINE },
    turbopack: {
      resolveAlias: { "@/lib/analyst": "./lib/offline/analyst.ts", "@/lib/messages": "./lib/offline/messages.ts" },
    },
  }),
  // Next's own badge would lie over the controls in development.
  devIndicators: false,
};

export default config;
