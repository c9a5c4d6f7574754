from distlandscape.files import sha256, write_text, write_whole
