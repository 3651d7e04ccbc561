mkdir "$out"
