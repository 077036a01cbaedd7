"use strict";
// Plays the videos of a job in step: the first one leads, the others follow its clock.

const HALF_A_FRAME = 0.5;
const LOST_S = 0.3;  // further apart, a video jumps to where the leader is rather than hurrying there

async function connect(job) {
  const videos = [...job.querySelectorAll("video")];
  const [leader, ...followers] = videos;
  const controls = job.querySelector(".controls");
  const [play, sound] = controls.querySelectorAll("button");
  const scrub = controls.querySelector("input");
  const counter = controls.querySelector("output");
  const cursor = job.querySelector(".cursor");
  const frameRate = Number(job.dataset.frameRate);
  const frames = Number(job.dataset.frames);
  let playing = false;
  let next = 0;

  await Promise.all(videos.map((video) => video.readyState || event(video, "loadedmetadata")));
  for (const video of videos) video.controls = false;
  controls.hidden = false;

  function event(target, name) {
    return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
  }

  function show(frame) {
    const number = frame + 1;
    scrub.value = frame;
    counter.value = `frame ${number} of ${frames}`;
    const { low, high, lowPx, highPx } = cursor.dataset;
    const x = Number(lowPx) + (highPx - lowPx) * Math.min(1, (number - low) / (high - low));
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.removeAttribute("hidden");
  }

  function seek(frame) {
    show(frame);
    const sought = videos.map((video) => event(video, "seeked"));
    for (const video of videos) video.currentTime = (frame + HALF_A_FRAME) / frameRate;  // well inside the frame
    return Promise.all(sought);
  }

  async function start() {
    playing = true;
    play.textContent = "Pause";
    await seek(scrub.valueAsNumber < frames - 1 ? scrub.valueAsNumber : 0);
    if (!playing) return;
    await Promise.allSettled(videos.map((video) => video.play()));
    cancelAnimationFrame(next);  // of an earlier start
    next = requestAnimationFrame(follow);
  }

  function stop() {
    playing = false;
    play.textContent = "Play";
    for (const video of videos) video.pause();
    return seek(scrub.valueAsNumber);
  }

  function follow() {
    if (!playing || leader.ended) return;
    for (const video of followers) {
      const ahead_s = video.currentTime - leader.currentTime;
      if (Math.abs(ahead_s) > LOST_S) video.currentTime = leader.currentTime;
      video.playbackRate = Math.abs(ahead_s) * frameRate < HALF_A_FRAME ? 1 : Math.min(1.5, Math.max(0.5, 1 - 4 * ahead_s));
    }
    show(Math.min(frames - 1, Math.floor(leader.currentTime * frameRate)));
    next = requestAnimationFrame(follow);
  }

  leader.addEventListener("ended", () => { if (playing) { scrub.value = 0; start(); } });
  play.addEventListener("click", () => (playing ? stop() : start()));
  scrub.addEventListener("input", () => { if (playing) stop(); else seek(scrub.valueAsNumber); });
  sound?.addEventListener("click", () => {
    leader.muted = !leader.muted;
    sound.textContent = leader.muted ? "Sound on" : "Sound off";
  });
  show(0);
}

for (const job of document.querySelectorAll(".job")) connect(job);
