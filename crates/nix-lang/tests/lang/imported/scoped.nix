magic + (let magic = 1; in magic)
