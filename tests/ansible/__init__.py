"""The Ansible collection of deploy/ansible on hosts that boot systemd, over ssh, with the package that users get."""
