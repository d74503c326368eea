// A picture that Chromium made, since nothing else here can.

/** A PNG file of two colours, as Playwright and `upload` take it. */
export async function picture(page, name = "bag.png") {
  const data = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [800, 600];
    const brush = canvas.getContext("2d");
    brush.fillStyle = "#b98252";
    brush.fillRect(0, 0, 800, 600);
    brush.fillStyle = "#3c241a";
    brush.fillRect(300, 200, 200, 300);
    return canvas.toDataURL("image/png").split(",")[1];
  });
  return { name, mimeType: "image/png", buffer: Buffer.from(data, "base64") };
}
