import type { NextConfig } from "next";

const config: NextConfig = {
  output: "export",
  // The same sources give the same files.
  generateBuildId: () => "vesselrt",
  // Next's own badge would lie over the controls in development.
  devIndicators: false,
};

export default config;
