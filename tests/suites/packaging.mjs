export const packaging = {
  name: "packaging",
  what: "the packed tarball in an empty project",
  async run(tally) {
    tally.skip("not written yet");
  },
};
