#!/usr/bin/env bash
# Photographs every kind of message and page, in both languages: docs/messages/*.png as the preview page shows messages,
# docs/pages/*.png as the pages are served.
# Needs Chromium (CHROMIUM names it) and python3 with Pillow, which crops the pictures and reduces their colours.
set -euo pipefail
cd "$(dirname "$0")/.."

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
mkdir -p docs/messages docs/pages "$pages/pages/incidents" "$pages/pages/assets"

FIRSTLOOK_SCREENS=$pages FIRSTLOOK_PAGES=$pages/pages cargo test --quiet --lib -- notify::snapshots::pages pages_to_photograph >&2

# Only the messages, one contact sheet for each: the Feishu bot's card, the app's in its states, WeCom's markdown, its other
# kinds, and the mail. Folds stay closed, as people find them.
only='.top,.intro,.evidence,.message>h2{display:none!important}
main{display:block!important;padding:12px!important}
.devices{grid-template-columns:400px 400px 400px 360px 620px!important;gap:14px!important}
.inbox{grid-column:auto!important;max-width:none!important}
.inbox:first-child{width:620px}
.screen{box-shadow:none!important;border-radius:8px!important}'

# Pixels a page or a sheet may be high; empty space below is cut off, and nothing else may be.
page_most=6000
phone_most=9000

# on_phone FILE: the same page as a phone shows it, 375 pixels wide; no window is as narrow. The frame reaches to the
# window's end, so that what is empty below is of one colour.
on_phone() {
  local frame="${1%.html}.phone.html"
  printf '<!doctype html><meta name="color-scheme" content="light dark"><style>body{margin:0}</style><iframe src="%s" width="375" height="%s" style="border:0"></iframe>' \
    "$(basename "$1")" "$((phone_most + 100))" >"$frame"
  echo "$frame"
}

# photograph FILE PICTURE WIDTH THEME MOST_HEIGHT [MOST_WIDTH]: THEME 0 is dark, 1 is light; empty space below is cut off.
photograph() {
  rm -f "$pages/shot.png"
  [ -s "$1" ]
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-color-profile=srgb --allow-file-access-from-files \
    --blink-settings=preferredColorScheme="$4" --window-size="$3",$(($5 + 100)) --virtual-time-budget=2000 \
    --screenshot="$pages/shot.png" "file://$1" >/dev/null 2>&1
  python3 - "$pages/shot.png" "$2" "$5" "${6:-9999}" <<'PY'
import sys
from PIL import Image, ImageChops
image = Image.open(sys.argv[1]).convert("RGB")
image = image.crop((0, 0, min(image.width, int(sys.argv[4])), image.height))
ground = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
_, _, right, bottom = ImageChops.difference(image, ground).getbbox()
image = image.crop((0, 0, min(image.width, right + 16), min(bottom + 16, int(sys.argv[3]))))
# The colours that cover most stay as they are, pale panels and badges among them; the many between them, at the edges of
# letters, share what is left of the palette.
counted = sorted(image.getcolors(image.width * image.height), reverse=True)
kept, rest = [colour for _, colour in counted[:192]], [colour for _, colour in counted[192:]]
palette = [value for colour in kept for value in colour]
if rest:
    between = Image.new("RGB", (len(rest), 1))
    between.putdata(rest)
    palette += between.quantize(colors=64, method=Image.Quantize.MEDIANCUT).getpalette()[: 64 * 3]
colours = Image.new("P", (1, 1))
colours.putpalette(palette)
image.quantize(palette=colours, dither=Image.Dither.NONE).save(sys.argv[2], optimize=True)
PY
  printf '%s %s bytes\n' "$2" "$(stat -c %s "$2")"
}

for lang in en zh-CN; do
  for page in list login; do
    photograph "$pages/pages/$page.$lang.html" "docs/pages/$page.$lang.png" 980 1 "$page_most"
  done
  for kind in report charted running resolved; do
    photograph "$pages/pages/incidents/$kind.$lang.html" "docs/pages/$kind.$lang.png" 980 1 "$page_most"
  done
  photograph "$pages/pages/incidents/report.$lang.html" "docs/pages/report-dark.$lang.png" 980 0 "$page_most"
  frame=$(on_phone "$pages/pages/incidents/report.$lang.html")
  photograph "$frame" "docs/pages/report-phone.$lang.png" 500 1 "$phone_most" 375
  photograph "$frame" "docs/pages/report-phone-dark.$lang.png" 500 0 "$phone_most" 375
  photograph "$(on_phone "$pages/pages/list.$lang.html")" "docs/pages/list-phone.$lang.png" 500 1 "$phone_most" 375
done

for lang in en zh; do
  frame=$(on_phone "$pages/mails/diagnosis-pvc.$lang.html")
  photograph "$frame" "docs/messages/mail-phone.$lang.png" 500 1 "$phone_most" 375
  photograph "$frame" "docs/messages/mail-phone.$lang.dark.png" 500 0 "$phone_most" 375
done

for page in "$pages"/*.html; do
  name=$(basename "$page" .html)
  python3 - "$page" "$only" <<'PY'
import pathlib, sys
page = pathlib.Path(sys.argv[1])
page.write_text(page.read_text().replace("</head>", f"<style>{sys.argv[2]}</style></head>"))
PY
  photograph "$page" "docs/messages/$name.png" 2300 1 "$page_most"
  sed -i 's/<html /<html data-theme="dark" /' "$page"
  photograph "$page" "docs/messages/$name.dark.png" 2300 0 "$page_most"
done
