baseNameOf ./some/file.txt
