{ } + (throw "right")
