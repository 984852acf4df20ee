import type { Metadata, Viewport } from "next";
import localFont from "next/font/local";
import type { ReactNode } from "react";

import { LANGUAGE_KEY, LANGUAGES, settleLanguage } from "@/lib/languages";

import "./globals.css";

const inter = localFont({
  src: "../node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
  weight: "100 900",
  fallback: ["system-ui", "sans-serif"], // of letters that it lacks: names are written in any
});

export const metadata: Metadata = {
  // No request for an icon.
  icons: { icon: "data:," },
};

export const viewport: Viewport = {
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#ffffff" },
    { media: "(prefers-color-scheme: dark)", color: "#14181c" },
  ],
};

/** The server allows inline scripts by their hashes. */
const LANGUAGE_SCRIPT = `(${settleLanguage})(${JSON.stringify(LANGUAGES)}, ${JSON.stringify(LANGUAGE_KEY)})`;

export default function Layout({ children }: { readonly children: ReactNode }) {
  return (
    <html lang="en" dir="ltr" className={inter.className} suppressHydrationWarning>
      <head>
        {/* biome-ignore lint/security/noDangerouslySetInnerHtml: nothing of it comes from elsewhere */}
        <script dangerouslySetInnerHTML={{ __html: LANGUAGE_SCRIPT }} />
      </head>
      <body>{children}</body>
    </html>
  );
}
